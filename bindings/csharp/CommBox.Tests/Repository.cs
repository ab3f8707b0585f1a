namespace CommBox.Tests;

/// <summary>The checkout that these tests run in.</summary>
internal static class Repository
{
    private static readonly string Root = FindRoot();

    internal static string PathOf(params string[] parts) => Path.Combine([Root, .. parts]);

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Cargo.toml")))
            {
                return folder.FullName;
            }
        }
        throw new DirectoryNotFoundException($"no Cargo.toml in {AppContext.BaseDirectory} or above");
    }
}
