using System.Text.RegularExpressions;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>The packages, as a program in an empty folder uses them.</summary>
public sealed class PackageTests : SandboxFixture
{
    /// <summary>No version that was ever restored: what is tried is what is packed.</summary>
    private static readonly string Version = $"0.0.0-test.{DateTime.UtcNow.Ticks}";

    [Test]
    public async Task ProgramOfThePageRunsWithThePackagesAlone()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("commbox-feed-");
        try
        {
            string runtimes = folder.CreateSubdirectory("runtimes").FullName;
            string feed = folder.CreateSubdirectory("feed").FullName;
            string packages = folder.CreateSubdirectory("packages").FullName;
            CopyLibrary(runtimes);
            foreach (string package in new[] { "CommBox", "CommBox.Extensions.Hosting" })
            {
                string project = Repository.PathOf("bindings", "csharp", package);
                string[] properties = [$"-p:Version={Version}", $"-p:CommBoxRuntimes={runtimes}"];
                await DotNetProgram.Start(
                    project, ["pack", "-c", "Release", .. properties, "-o", feed]);
            }
            using var program = new DotNetProgram(PageTests.FirstProgram, $"""
                <PackageReference Include="CommBox.Extensions.Hosting" Version="{Version}" />
                """);
            await program.Run(
                ("CommBox__ApiKey", Sandbox.ApiKey),
                ("COMMBOX_BASE_URL", Sandbox.Url),
                // The library is the one in the package.
                ("COMMBOX_LIBRARY", null),
                ("NUGET_PACKAGES", packages),
                ("NUGET_FALLBACK_PACKAGES", string.Join(';', Restored())),
                ("RestoreAdditionalProjectSources", string.Join(';', Sources(feed))));
            Assert.That(
                Sandbox.User(94382332).GetProperty("FirstName").GetString(), Is.EqualTo("John"));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Test]
    public void BothPackagesHaveOneVersion()
    {
        string[] versions =
        [
            .. new[] { "CommBox", "CommBox.Extensions.Hosting" }.Select(package => Regex.Match(
                File.ReadAllText(
                    Repository.PathOf("bindings", "csharp", package, $"{package}.csproj")),
                "<Version>(.+)</Version>").Groups[1].Value),
        ];
        Assert.That(versions[0], Is.Not.Empty);
        Assert.That(versions[1], Is.EqualTo(versions[0]));
    }

    private static void CopyLibrary(string runtimes)
    {
        string library =
            Environment.GetEnvironmentVariable("COMMBOX_LIBRARY") is { Length: > 0 } named
            ? named
            : Repository.PathOf("target", "release", "libcommbox.so");
        string identifier = System.Runtime.InteropServices.RuntimeInformation.RuntimeIdentifier;
        string folder =
            Directory.CreateDirectory(Path.Combine(runtimes, identifier, "native")).FullName;
        File.Copy(library, Path.Combine(folder, Path.GetFileName(library)));
    }

    /// <summary>
    /// Where packages of others are that were restored before: they are not fetched again.
    /// </summary>
    private static IEnumerable<string> Restored()
    {
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        string[] folders =
        [
            .. Listed("NUGET_FALLBACK_PACKAGES"),
            Environment.GetEnvironmentVariable("NUGET_PACKAGES")
                ?? Path.Combine(home, ".nuget", "packages"),
        ];
        return folders.Where(Directory.Exists);
    }

    private static IEnumerable<string> Sources(string feed) =>
        [feed, .. Listed("RestoreAdditionalProjectSources").Where(Directory.Exists)];

    private static string[] Listed(string variable) =>
        (Environment.GetEnvironmentVariable(variable) ?? "").Split(';');
}
