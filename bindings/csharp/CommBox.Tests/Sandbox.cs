using System.Diagnostics;
using System.Text.Json;

namespace CommBox.Tests;

/// <summary>A running sandbox: the offline CommBox of <c>commbox sandbox</c>.</summary>
internal sealed class Sandbox : IDisposable
{
    internal const string ApiKey = "sandbox-key";

    private readonly Process _process;
    private readonly HttpClient _http;

    internal Sandbox()
    {
        string program = Environment.GetEnvironmentVariable("COMMBOX_SANDBOX") is { Length: > 0 } named
            ? named
            : Repository.PathOf("target", "debug", "examples", Environment.OSVersion.Platform == PlatformID.Win32NT ? "sandbox.exe" : "sandbox");
        if (!File.Exists(program))
        {
            throw new FileNotFoundException($"no sandbox at {program}: run cargo build --example sandbox");
        }
        _process = Process.Start(new ProcessStartInfo(program) { RedirectStandardOutput = true, UseShellExecute = false })!;
        Url = _process.StandardOutput.ReadLine() ?? throw new InvalidOperationException($"{program} printed no address");
        // A proxy of the environment has no business on loopback.
        _http = new HttpClient(new HttpClientHandler { UseProxy = false }) { BaseAddress = new Uri(Url) };
    }

    internal string Url { get; }

    /// <summary>A client of this sandbox that makes one attempt a call.</summary>
    internal CommBoxClient Client(string apiKey = ApiKey, TimeSpan? timeout = null) =>
        Client(new CommBoxClientOptions { MaxRetries = 0, Timeout = timeout }, apiKey);

    internal CommBoxClient Client(CommBoxClientOptions options, string apiKey = ApiKey)
    {
        options.BaseUrl = Url;
        return new(apiKey, options);
    }

    internal void Reset() => Post("/sandbox/reset", "");

    /// <summary>Scripts the next answers: so many of one.</summary>
    internal void Script(int count, string answer) =>
        Script($"[{string.Join(",", Enumerable.Repeat(answer, count))}]");

    /// <summary>Scripts the next answers: a JSON array.</summary>
    internal void Script(string answers) => Post("/sandbox/script", answers);

    /// <summary>What the sandbox was asked since the last reset.</summary>
    internal JsonElement[] Requests() => [.. Get("/sandbox/requests").EnumerateArray()];

    /// <summary>A user as the sandbox has it.</summary>
    internal JsonElement User(long id) => Get($"/users/{id}").GetProperty("data");

    public void Dispose()
    {
        _http.Dispose();
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    private void Post(string path, string body) =>
        _http.PostAsync(path, new StringContent(body)).GetAwaiter().GetResult().EnsureSuccessStatusCode();

    private JsonElement Get(string path) =>
        JsonDocument.Parse(_http.GetStringAsync(path).GetAwaiter().GetResult()).RootElement;
}
