using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Shared libraries, as the system loads them.</summary>
internal static class SharedLibrary
{
    /// <summary>
    /// Loads a library. A bare name is left to the system's search, and to the
    /// AssemblyLoadContext.
    /// </summary>
    /// <exception cref="DllNotFoundException">It cannot be loaded.</exception>
    internal static nint Load(string path) =>
        Path.IsPathRooted(path)
            ? NativeLibrary.Load(path)
            : NativeLibrary.Load(path, typeof(SharedLibrary).Assembly, DotNetSearch.Places);

    internal static nint Export(nint library, string name) => NativeLibrary.GetExport(library, name);

    internal static bool TryExport(nint library, string name, out nint address) =>
        NativeLibrary.TryGetExport(library, name, out address);

    internal static void Free(nint library) => NativeLibrary.Free(library);
}
