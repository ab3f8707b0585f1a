using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>
/// Loads the library as .NET itself finds it for an import: by the application's resolver, the
/// AssemblyLoadContext, in a single-file application, or beside the assembly. To do so, it imports
/// one function, which returns an address inside the library.
/// </summary>
internal static unsafe class DotNetSearch
{
    /// <summary>
    /// The name of the library in the NuGet package. It differs on Windows, where this assembly
    /// itself is <c>commbox.dll</c>.
    /// </summary>
    internal const string NameOnWindows = "commbox_native";

    /// <summary>Where a name without a path is searched: never in the current directory.</summary>
    internal const DllImportSearchPath Places = DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories;

    private const string NameOnUnix = "commbox";

    /// <summary>The name of the library in imports.</summary>
    internal static string Name => OperatingSystem.IsWindows() ? NameOnWindows : NameOnUnix;

    /// <summary>Loads the library.</summary>
    /// <exception cref="DllNotFoundException">.NET does not find it.</exception>
    /// <exception cref="EntryPointNotFoundException">It is a different library.</exception>
    internal static nint Load()
    {
        if (OperatingSystem.IsWindows())
        {
            const uint ByAddress = 4;
            nint module;
            return GetModuleHandleEx(ByAddress, VersionOnWindows(), &module) != 0 ? module : 0;
        }
        string? file = Unix.FileAround(VersionOnUnix());
        return file is null ? 0 : SharedLibrary.Load(Path.GetFullPath(file));
    }

    /// <summary>
    /// Returns whether the application has set a resolver for this assembly's imports. If it has
    /// not, this call prevents it from setting one later.
    /// </summary>
    internal static bool HasResolver()
    {
        try
        {
            Resolver.Claim(typeof(DotNetSearch).Assembly);
            return false;
        }
        catch (InvalidOperationException)
        {
            // An assembly can have only one resolver, and the application has set it.
            return true;
        }
    }

    [DllImport(NameOnUnix, EntryPoint = "commbox_version", CallingConvention = CallingConvention.Cdecl)]
    private static extern void* VersionOnUnix();

    [DllImport(NameOnWindows, EntryPoint = "commbox_version", CallingConvention = CallingConvention.Cdecl)]
    private static extern void* VersionOnWindows();

    [DllImport("kernel32", EntryPoint = "GetModuleHandleExW")]
    private static extern int GetModuleHandleEx(uint flags, void* address, nint* module);
}
