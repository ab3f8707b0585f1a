using System.Diagnostics.Metrics;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>The examples of docs/services.md, compiled and run as they stand.</summary>
public sealed class PageTests : SandboxFixture
{
    private static readonly string Page = File.ReadAllText(
        Repository.PathOf("docs", "services.md"));

    private static readonly string Readme =
        File.ReadAllText(
            Repository.PathOf("bindings", "csharp", "CommBox.Extensions.Hosting", "README.md"));

    /// <summary>
    /// Collects with OpenTelemetry what the program of the page has, and prints it at its end.
    /// </summary>
    private const string Collector = """
        using System.Diagnostics;
        using System.Runtime.CompilerServices;
        using OpenTelemetry;
        using OpenTelemetry.Metrics;
        using OpenTelemetry.Trace;

        internal static class Collector
        {
            [ModuleInitializer]
            internal static void Begin()
            {
                List<Activity> activities = [];
                List<Metric> metrics = [];
                TracerProvider tracer = Sdk.CreateTracerProviderBuilder().AddSource("CommBox").AddInMemoryExporter(activities).Build();
                MeterProvider meter = Sdk.CreateMeterProviderBuilder().AddMeter("CommBox").AddInMemoryExporter(metrics).Build();
                AppDomain.CurrentDomain.ProcessExit += (_, _) =>
                {
                    tracer.ForceFlush();
                    meter.ForceFlush();
                    activities.ForEach(activity => Console.WriteLine($"activity {activity.DisplayName} {activity.Id}"));
                    metrics.ForEach(metric => Console.WriteLine($"meter {metric.Name}"));
                };
            }
        }
        """;

    private static string[] Blocks(string page, string language) =>
        Groups(page, $"(?s)```{language}\n(.*?)```");

    private static string[] Groups(string text, string pattern) =>
        [.. Regex.Matches(text, pattern).Select(match => match.Groups[1].Value)];

    /// <summary>
    /// The program of the page; statements of other blocks are a method of their own, and types
    /// stand for themselves.
    /// </summary>
    private static string Program()
    {
        const string Using = @"(?m)^(using [\w.]+;\n)";
        string[] blocks = Blocks(Page, "csharp");
        IEnumerable<string> usings = blocks.SelectMany(block => Groups(block, Using)).Distinct();
        IEnumerable<string> rest = blocks.Select(block => Regex.Replace(block, Using, ""))
            .Select((block, number) =>
            number == 0 || block.StartsWith("internal ", StringComparison.Ordinal)
                ? block
                : $$"""
                    internal static class Block{{number}}
                    {
                        internal static void Run(HostApplicationBuilder builder)
                        {
                    {{block}}
                        }
                    }

                    """);
        return string.Concat(usings) + string.Concat(rest);
    }

    /// <summary>The program that the page begins with.</summary>
    internal static string FirstProgram => Blocks(Page, "csharp")[0];

    [Test]
    public async Task ExamplesWork()
    {
        const string Name = "CommBox.Extensions.Hosting";
        string library = Repository.PathOf("bindings", "csharp", Name, $"{Name}.csproj");
        using var program = new DotNetProgram(
            Program(),
            $"""
            <PackageReference Include="OpenTelemetry" Version="1.19.0" />
            <PackageReference Include="OpenTelemetry.Exporter.InMemory" Version="1.19.0" />
            <ProjectReference Include="{library}" />
            """,
            ("Collector.cs", Collector),
            ("appsettings.json", Blocks(Page, "json").Single()));
        string printed = await program.Run(
            ("CommBox__ApiKey", Sandbox.ApiKey), ("COMMBOX_BASE_URL", Sandbox.Url));
        JsonElement request = Sandbox.Requests().Single();
        string traceparent = request.GetProperty("headers").GetProperty("traceparent").GetString()!;
        Assert.That(printed, Does.Contain($"activity POST /users/{{id}} {traceparent}"));
        Assert.That(printed, Does.Contain("meter commbox.client.update.duration"));
    }

    [Test]
    public void DocumentedMetersExist()
    {
        List<string> published = [];
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name == "CommBox")
                {
                    published.Add(instrument.Name);
                }
            },
        };
        listener.Start();
        using CommBoxClient client = Sandbox.Client();
        string[] named = Groups(Page, @"(?m)^\| `(commbox\.client\.[\w.]+)`");
        Assert.That(published, Is.EquivalentTo(named));
    }

    [Test]
    public void ReadmeContainsTheProgramOfThePage()
    {
        Assert.That(Blocks(Readme, "csharp"), Is.EqualTo(new[] { FirstProgram }));
        // What a service needs before its first update, OpenTelemetry included; its own code is the
        // rest.
        string telemetry = Blocks(Page, "csharp").Single(
            block => block.Contains("AddSource", StringComparison.Ordinal));
        string[] lines = [.. Lines(FirstProgram), .. Lines(telemetry)];
        Assert.That(lines, Has.Length.InRange(5, 15));

        static IEnumerable<string> Lines(string block) => block
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .TakeWhile(line => !line.StartsWith("internal", StringComparison.Ordinal));
    }
}
