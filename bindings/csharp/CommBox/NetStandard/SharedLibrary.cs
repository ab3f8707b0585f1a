using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Shared libraries, as the system loads them.</summary>
internal static class SharedLibrary
{
    private const int Now = 2;

    /// <summary>
    /// LOAD_LIBRARY_SEARCH_APPLICATION_DIR, _USER_DIRS and _SYSTEM32: never the current directory.
    /// </summary>
    private const uint SafeDirectories = 0x200 | 0x400 | 0x800;

    /// <summary>LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR: that of a library with a path.</summary>
    private const uint ItsDirectory = 0x100;

    /// <summary>Loads a library. A bare name is left to the system's search.</summary>
    /// <exception cref="DllNotFoundException">It cannot be loaded.</exception>
    internal static nint Load(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            uint places = Path.IsPathRooted(path) ? ItsDirectory | SafeDirectories : SafeDirectories;
            nint library = Windows.LoadLibraryEx(path, 0, places);
            return library != 0
                ? library
                : throw new DllNotFoundException(new System.ComponentModel.Win32Exception(Marshal.GetLastWin32Error()).Message);
        }
        // An older error is not to be taken for this one.
        Unix.Error();
        nint loaded = Unix.Open(path, Now);
        return loaded != 0 ? loaded : throw new DllNotFoundException(Unix.Error() ?? $"{path} cannot be loaded");
    }

    internal static nint Export(nint library, string name) =>
        TryExport(library, name, out nint address) ? address : throw new EntryPointNotFoundException(name);

    internal static bool TryExport(nint library, string name, out nint address)
    {
        address = OperatingSystem.IsWindows() ? Windows.GetProcAddress(library, name) : Unix.Symbol(library, name);
        return address != 0;
    }

    internal static void Free(nint library)
    {
        if (OperatingSystem.IsWindows())
        {
            Windows.FreeLibrary(library);
        }
        else
        {
            Unix.Close(library);
        }
    }

    private static class Windows
    {
        [DllImport("kernel32", CharSet = CharSet.Unicode, EntryPoint = "LoadLibraryExW", SetLastError = true)]
        internal static extern nint LoadLibraryEx(string path, nint reserved, uint flags);

        [DllImport("kernel32", CharSet = CharSet.Ansi, BestFitMapping = false, ThrowOnUnmappableChar = true)]
        internal static extern nint GetProcAddress(nint library, string name);

        [DllImport("kernel32")]
        internal static extern int FreeLibrary(nint library);
    }
}
