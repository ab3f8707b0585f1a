using System.Reflection;
using System.Text.RegularExpressions;

namespace CommBox.Tests;

/// <summary>Pages whose examples no compiler reads.</summary>
public sealed class DocsTests
{
    /// <summary>What PowerShell and .NET have, and not this library.</summary>
    private static readonly string[] Others =
    [
        "Management", "Automation", "MethodInvocationException", "Exception", "InnerException",
        "Phone", "Id", "Count", "Value", "Dispose", "GetAwaiter", "GetResult",
    ];

    [Test]
    public void PowerShellExamplesUseExistingNames()
    {
        string page = File.ReadAllText(Repository.PathOf("docs", "powershell.md"));
        string code = string.Join(
            "\n", Found(page, "(?<=```powershell\n).*?(?=\n```)"));
        Assembly assembly = typeof(CommBoxClient).Assembly;
        string[] types = Found(code, @"(?<=\[)CommBox\.\w+(?=\])");
        Assert.That(types, Has.Length.GreaterThan(2));
        Assert.That(types.Where(type => assembly.GetType(type) is not { IsPublic: true }), Is.Empty);
        string[] members = Found(code, @"(?<=[\w)\]]\.)(?<!CommBox\.)[A-Z]\w+");
        Assert.That(members, Has.Length.GreaterThan(8));
        IEnumerable<string> ours = assembly.GetExportedTypes().SelectMany(type => type.GetMembers()).Select(member => member.Name);
        Assert.That(members.Except(ours).Except(Others), Is.Empty);
    }

    private static string[] Found(string text, string pattern) =>
        [.. Regex.Matches(text, pattern, RegexOptions.Singleline).Select(found => found.Value).Distinct()];
}
