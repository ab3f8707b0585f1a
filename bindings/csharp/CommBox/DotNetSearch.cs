using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>
/// The library as .NET itself finds it for an import: by the application's resolver, the
/// AssemblyLoadContext, in a single file, beside the assembly. The library is that of the one
/// function that is imported, which returns an address inside it.
/// </summary>
internal static unsafe class DotNetSearch
{
    /// <summary>
    /// The library in the package for .NET: to Windows, <c>commbox.dll</c> is this assembly's name.
    /// </summary>
    internal const string NameOnWindows = "commbox_native";

    /// <summary>Where a bare name is looked for: never in the current directory.</summary>
    internal const DllImportSearchPath Places = DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories;

    private const string NameOnUnix = "commbox";

    /// <summary>What an import calls the library.</summary>
    internal static string Name => OperatingSystem.IsWindows() ? NameOnWindows : NameOnUnix;

    /// <summary>Loads the library.</summary>
    /// <exception cref="DllNotFoundException">.NET does not find it.</exception>
    /// <exception cref="EntryPointNotFoundException">It is another library.</exception>
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
    /// Whether the application resolves this assembly's imports. If it does not, it cannot any
    /// more.
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
            // There is only one, and it is the application's.
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
