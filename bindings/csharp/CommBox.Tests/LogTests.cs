using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace CommBox.Tests;

/// <summary>What a client tells its log.</summary>
public sealed class LogTests : SandboxFixture
{
    private const long Id = 94382332;
    private readonly ConcurrentQueue<CommBoxLogEvent> _events = new();

    [SetUp]
    public void Forget() => _events.Clear();

    private CommBoxClientOptions Options(CommBoxLogLevel level) => new()
    {
        RetryBase = TimeSpan.FromMilliseconds(1),
        Log = _events.Enqueue,
        LogLevel = level,
    };

    [Test]
    public void CallIsLoggedFromBeginningToEnd()
    {
        Sandbox.Script("""[{"status": 503}, {"own": true}]""");
        using CommBoxClient client = Sandbox.Client(Options(CommBoxLogLevel.Debug));
        client.UpdateUserJson(Id, "{}");
        // What concerns the client and not the call may come before.
        string[] names = [.. _events.Select(each => each.Name).SkipWhile(name => name != "call_began")];
        Assert.That(names, Is.Not.Empty);
        Assert.That(names[^1], Is.EqualTo("call_succeeded"));
        Assert.That(names.Count(name => name == "attempt"), Is.EqualTo(2));
        Assert.That(names.Count(name => name == "retry"), Is.EqualTo(1));
        CommBoxLogEvent retry = _events.Single(each => each.Name == "retry");
        Assert.That(retry.Level, Is.EqualTo(CommBoxLogLevel.Information));
        Assert.That(retry.Message, Is.Not.Empty.And.Not.Contain("\n"));
        Assert.That($"{retry}", Is.EqualTo(retry.Message));
        using JsonDocument json = JsonDocument.Parse(retry.Json);
        Assert.That(json.RootElement.GetProperty("call").GetInt64(), Is.EqualTo(1));
        Assert.That(json.RootElement.GetProperty("level").GetString(), Is.EqualTo("info"));
    }

    [Test]
    public async Task LevelAppliesToEveryFormOfTheCall()
    {
        Sandbox.Script("""[{"status": 503}, {"own": true}, {"status": 503}, {"own": true}, {"status": 404}]""");
        using CommBoxClient client = Sandbox.Client(Options(CommBoxLogLevel.Information));
        await client.UpdateUserJsonAsync(Id, "{}");
        await foreach (CommBoxBatchResult _ in client.UpdateUsersAsync([new UserUpdate(Id, "{}")]))
        {
        }
        Assert.Throws<CommBoxApiException>(() => client.UpdateUserJson(Id, "{}"));
        Assert.That(_events.Select(each => each.Name), Is.EqualTo(new[] { "retry", "retry", "call_failed" }));
    }

    [Test]
    public void NothingIsLoggedByDefault()
    {
        using CommBoxClient client = Sandbox.Client(Options(CommBoxLogLevel.Off));
        client.UpdateUserJson(Id, "{}");
        Assert.That(_events, Is.Empty);
        CommBoxClientOptions options = Options((CommBoxLogLevel)6);
        var error = Assert.Throws<CommBoxValidationException>(() => Sandbox.Client(options))!;
        Assert.That(error.Message, Is.EqualTo("LogLevel must be from Off to Trace"));
    }

    [Test]
    public void LevelMayChangeWhileTheClientIsUsed()
    {
        using CommBoxClient client = Sandbox.Client(Options(CommBoxLogLevel.Off));
        client.UpdateUserJson(Id, "{}");
        Assert.That(_events, Is.Empty);
        client.SetLogLevel(CommBoxLogLevel.Debug);
        client.UpdateUserJson(Id, "{}");
        Assert.That(_events.Select(each => each.Name), Does.Contain("call_succeeded"));
        _events.Clear();
        client.SetLogLevel(CommBoxLogLevel.Off);
        client.UpdateUserJson(Id, "{}");
        Assert.That(_events, Is.Empty);
        var error = Assert.Throws<CommBoxValidationException>(
            () => client.SetLogLevel((CommBoxLogLevel)6))!;
        Assert.That(error.Message, Is.EqualTo("level must be from Off to Trace"));
        // Without a log there is nothing to set.
        using CommBoxClient silent = Sandbox.Client();
        silent.SetLogLevel(CommBoxLogLevel.Trace);
        silent.UpdateUserJson(Id, "{}");
    }

    [Test]
    public void NeitherSecretsNorValuesAreLogged()
    {
        CommBoxClientOptions options = Options(CommBoxLogLevel.Trace);
        options.Headers["X-Key"] = "canary-header";
        using CommBoxClient client = Sandbox.Client(options, "canary-key");
        var user = new UserInfo { FirstName = "canary-name", Content = { ["Field"] = "canary-field" } };
        var call = new CommBoxCallOptions { Headers = { ["X-Other"] = "canary-other" } };
        Assert.Throws<CommBoxApiException>(() => client.UpdateUser(Id, user, call));
        Assert.That(_events.Select(each => each.Name), Does.Contain("key_rejected"));
        Assert.That(_events.Select(each => each.Json + each.Message), Has.None.Contain("canary"));
    }

    [Test]
    public void ExceptionOfAHandlerFailsNoCall()
    {
        CommBoxClientOptions options = Options(CommBoxLogLevel.Trace);
        options.Log = _ => throw new InvalidDataException("canary");
        using CommBoxClient client = Sandbox.Client(options);
        using var words = new StringWriter();
        using var listener = new TextWriterTraceListener(words);
        Trace.Listeners.Add(listener);
        Assert.That(client.UpdateUserJson(Id, "{}").Id, Is.EqualTo(Id));
        Trace.Listeners.Remove(listener);
        Assert.That(words.ToString(), Does.Contain("InvalidDataException").And.Not.Contain("canary"));
    }

    [Test]
    public void HandlerMayUseTheClientWithoutTheTokenOfTheCall()
    {
        Sandbox.Script("""[{"status": 503}, {"own": true}, {"delay_ms": 5000}]""");
        CommBoxClient client = null!;
        CommBoxClientOptions options = Options(CommBoxLogLevel.Information);
        options.Log = told => client.UpdateUserJson(1, "{}", new CancellationToken(canceled: false));
        client = Sandbox.Client(options);
        using var source = new CancellationTokenSource(500);
        var error = Assert.Throws<OperationCanceledException>(() => client.UpdateUserJson(Id, "{}", source.Token))!;
        Assert.That(((CommBoxException)error.InnerException!).Elapsed, Is.LessThan(TimeSpan.FromSeconds(4)));
        client.Dispose();
    }

    [Test]
    public void HandlerIsReleasedWithItsClient()
    {
        WeakReference held = Call();
        Assert.That(() => Collected(held), Is.True.After(10_000, 50));
        Assert.That(() => Collected(held) && LogSink.Count == 0, Is.True.After(10_000, 50));

        static bool Collected(WeakReference held)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return !held.IsAlive;
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        WeakReference Call()
        {
            var target = new List<CommBoxLogEvent>();
            var options = new CommBoxClientOptions { LogLevel = CommBoxLogLevel.Trace };
            // Nobody disposes the client, and the handler refers to it.
            CommBoxClient client = null!;
            options.Log = told =>
            {
                GC.KeepAlive(client);
                target.Add(told);
            };
            client = Sandbox.Client(options);
            client.UpdateUserJson(Id, "{}");
            Assert.That(target, Is.Not.Empty);
            return new WeakReference(target);
        }
    }

    [Test]
    public async Task AsynchronousCallLogsItsEndAfterTheClientIsDisposed()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 500}]""");
        CommBoxClient client = Sandbox.Client(Options(CommBoxLogLevel.Debug));
        Task<UpdateResult> call = client.UpdateUserJsonAsync(Id, "{}");
        AwaitRequests(1);
        client.Dispose();
        client = null!;
        GC.Collect();
        await call;
        Assert.That(() => _events.Select(each => each.Name).ToArray(), Does.Contain("call_succeeded").After(5000, 10));
    }
}
