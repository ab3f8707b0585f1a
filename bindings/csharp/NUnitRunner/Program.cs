// Runs the NUnit tests of an assembly with NUnit's own engine:
//
//     NUnitRunner ASSEMBLY CLASS [-TEST…]     the tests of a class, but for those whose names contain one of TEST
//
// The closing line is that of `dotnet test`.
using System.Reflection;
using System.Runtime.Loader;
using NUnit.Framework.Api;
using NUnit.Framework.Interfaces;
using NUnit.Framework.Internal;

string path = Path.GetFullPath(args[0]);
string folder = Path.GetDirectoryName(path)!;
AssemblyLoadContext.Default.Resolving += (context, name) =>
{
    string candidate = Path.Combine(folder, name.Name + ".dll");
    return File.Exists(candidate) ? context.LoadFromAssemblyPath(candidate) : null;
};
Assembly assembly = AssemblyLoadContext.Default.LoadFromAssemblyPath(path);
var runner = new NUnitTestAssemblyRunner(new DefaultTestAssemblyBuilder());
runner.Load(assembly, new Dictionary<string, object> { ["NumberOfTestWorkers"] = 0 });
// The engine gives each test a console of its own.
TextWriter console = Console.Out;
string[] left = [.. args.Skip(2).Select(name => name.TrimStart('-'))];
ITestResult result = runner.Run(new Reporter(console), new ClassFilter(args[1], left));
int skipped = result.SkipCount + result.InconclusiveCount;
console.WriteLine($"Failed: {result.FailCount}, Passed: {result.PassCount}, Skipped: {skipped}");
console.Flush();
return result.PassCount > 0 && result.FailCount == 0 && result.ResultState.Status != TestStatus.Failed ? 0 : 1;

internal sealed class ClassFilter(string name, string[] left) : TestFilter
{
    public override bool Match(ITest test) =>
        test.ClassName?.EndsWith("." + name, StringComparison.Ordinal) == true
        && !left.Any(part => test.FullName.Contains(part, StringComparison.Ordinal));

    // A class that is left to its tests: some of them may be left out.
    public override bool Pass(ITest test) => !test.IsSuite && Match(test);

    public override bool IsExplicitMatch(ITest test) => false;

    public override TNode AddToXml(TNode parentNode, bool recursive) => parentNode.AddElement("class", name);
}

internal sealed class Reporter(TextWriter console) : ITestListener
{
    // The last one, where the process ends by itself.
    public void TestStarted(ITest test)
    {
        if (!test.IsSuite)
        {
            console.WriteLine($"{test.Name} ...");
        }
    }

    public void TestOutput(TestOutput output) => console.Write(output.Text);

    public void SendMessage(TestMessage message)
    {
    }

    public void TestFinished(ITestResult result)
    {
        bool ownFailure = result.ResultState.Status == TestStatus.Failed
            && result.ResultState.Site is FailureSite.SetUp or FailureSite.TearDown;
        if (result.Test.IsSuite && !ownFailure)
        {
            return;
        }
        if (result.ResultState.Status == TestStatus.Failed)
        {
            console.WriteLine($"FAILED {result.FullName}\n  {result.Message}\n{result.StackTrace}");
        }
        else if (result.ResultState.Status != TestStatus.Passed)
        {
            console.WriteLine($"{result.ResultState.Status} {result.FullName} {result.Message}");
        }
    }
}
