namespace CommBox;

/// <summary>How the program was deployed.</summary>
internal static class Deployment
{
    /// <summary>The platform, as packages name it; null for .NET Framework and Mono.</summary>
    internal static string? RuntimeIdentifier => AppContext.GetData("RUNTIME_IDENTIFIER") as string;

    /// <summary>Where the assembly is; "" if it comes from no file.</summary>
    internal static string AssemblyFolder() => FolderOf(typeof(Deployment).Assembly.Location);

    /// <summary>
    /// Where the assembly was before it was copied into a cache, as web programs of .NET Framework
    /// do; "" if it comes from no file.
    /// </summary>
    internal static string OriginalFolder()
    {
        try
        {
            return FolderOf(new Uri(typeof(Deployment).Assembly.CodeBase).LocalPath);
        }
        catch (Exception error) when (error is UriFormatException or NotSupportedException or ArgumentException)
        {
            return "";
        }
    }

    private static string FolderOf(string file) =>
        file.Length > 0 && Path.GetDirectoryName(file) is { Length: > 0 } folder
            ? folder + Path.DirectorySeparatorChar
            : "";
}
