using System.Diagnostics;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>The service in examples/csharp/Service, as a process of its own.</summary>
[Platform(Exclude = "Win", Reason = "it is ended by a signal")]
public sealed class ExampleTests : SandboxFixture
{
    private static readonly string Folder = Repository.PathOf("examples", "csharp", "Service");

    private Process Start(string key, params (string Name, string Value)[] settings)
    {
        // It was built as these tests are: their folder is bin/CONFIGURATION/FRAMEWORK.
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
        string output = Path.Combine(Folder, "bin", configuration, "net8.0");
        var start = new ProcessStartInfo(
            DotNetProgram.DotNet, [Path.Combine(output, "Service.dll")])
        {
            WorkingDirectory = output,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["CommBox__ApiKey"] = key;
        start.Environment["CommBox__BaseUrl"] = Sandbox.Url;
        start.Environment["no_proxy"] = "*";
        foreach ((string name, string value) in settings)
        {
            start.Environment[name] = value;
        }
        return Process.Start(start)!;
    }

    private static string Rows(int count) =>
        string.Concat(
            Enumerable.Range(1, count).Select(user => $"{user}\t{{\"FirstName\": \"Canary\"}}\n"));

    /// <summary>Waits for its end, and returns its exit code, its last line and its log.</summary>
    private static async Task<(int Code, string Tally, string Log)> End(Process process)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> log = process.StandardError.ReadToEndAsync();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        finally
        {
            process.Kill();
        }
        string told = await log;
        Assert.That(told, Does.Not.Contain("Canary"));
        return (process.ExitCode, await output, told);
    }

    private static async Task Terminate(Process process)
    {
        using Process kill = Process.Start("kill", ["-TERM", $"{process.Id}"]);
        await kill.WaitForExitAsync();
    }

    [Test]
    public async Task OutageAndThrottlingCostNoUpdate()
    {
        Sandbox.Script("""
            [{"status": 503}, {"reset": true}, {"status": 429, "headers": {"Retry-After": "1"}}]
            """);
        using Process process = Start(Sandbox.ApiKey);
        await process.StandardInput.WriteAsync(
            Rows(50) + "51\t{\"first_name\": \"Canary\"}\nx\t{}\n" + Rows(3));
        process.StandardInput.Close();
        (int code, string tally, string log) = await End(process);
        Assert.That((code, tally), Is.EqualTo((1, "53 updated, 2 failed\n")), log);
        Assert.That(log, Does.Contain("row 51: first_name must be written \"FirstName\""));
        Assert.That(
            log, Does.Contain("row 52: user_id must be 1 or more").And.Contain("requests resume"));
    }

    [Test]
    public async Task RejectedKeyIsReportedForEveryRow()
    {
        using Process process = Start("wrong-key");
        await process.StandardInput.WriteAsync(Rows(20));
        process.StandardInput.Close();
        (int code, string tally, string log) = await End(process);
        Assert.That((code, tally), Is.EqualTo((1, "0 updated, 20 failed\n")), log);
        Assert.That(
            log,
            Does.Contain("the server rejected the API key (401)").And.Not.Contain("wrong-key"));
        Assert.That(
            log.Split('\n').Count(line => line.Contains(": the server answered HTTP 401")),
            Is.GreaterThanOrEqualTo(20));
    }

    [Test]
    public async Task SignalEndsItAfterAcceptedUpdatesAreSent()
    {
        Sandbox.Script(16, """{"own": true, "delay_ms": 1000}""");
        using Process process = Start(Sandbox.ApiKey);
        await process.StandardInput.WriteAsync(Rows(200));
        await process.StandardInput.FlushAsync();
        Assert.That(() => Sandbox.Requests().Length, Is.GreaterThanOrEqualTo(16).After(60_000, 20));
        // Its input does not end, as that of a queue.
        await Terminate(process);
        (int code, string tally, string log) = await End(process);
        int sent = Sandbox.Requests().Length;
        Assert.That((code, tally), Is.EqualTo((0, $"{sent} updated, 0 failed\n")), log);
        // Those in flight, and the rows that had been read meanwhile.
        Assert.That(sent, Is.InRange(16, 200));
    }

    [Test]
    public async Task UpdatesBeyondTheShutdownTimeoutAreReported()
    {
        Sandbox.Script(32, """{"own": true, "delay_ms": 20000}""");
        using Process process = Start(Sandbox.ApiKey, ("DOTNET_shutdownTimeoutSeconds", "1"));
        await process.StandardInput.WriteAsync(Rows(60));
        await process.StandardInput.FlushAsync();
        Assert.That(() => Sandbox.Requests().Length, Is.GreaterThanOrEqualTo(16).After(60_000, 20));
        await Terminate(process);
        (int code, string tally, string log) = await End(process);
        Assert.That(tally, Does.Match("^0 updated, (1[6-9]|[2-6][0-9]) failed\n$"), log);
        Assert.That(code, Is.Not.Zero);
        Assert.That(log, Does.Contain("were cancelled"));
    }

    [Test]
    public void ItIsShort()
    {
        int lines = File.ReadAllLines(Path.Combine(Folder, "Program.cs")).Length;
        Assert.That(lines, Is.LessThan(90));
    }
}
