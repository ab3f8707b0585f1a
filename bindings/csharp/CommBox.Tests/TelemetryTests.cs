using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;

namespace CommBox.Tests;

/// <summary>What activities see of a call, and what the server gets of them.</summary>
public sealed class TelemetryTests : SandboxFixture
{
    private const long Id = 94382332;

    private static readonly string[] Forms = ["synchronous", "asynchronous", "of many"];

    private readonly ConcurrentQueue<Activity> _ended = new();
    private readonly ConcurrentQueue<string?> _threads = new();

    private ActivityListener? _listener;
    private Activity? _program;

    [SetUp]
    public void Begin()
    {
        _ended.Clear();
        _threads.Clear();
        _program = new Activity("program").Start();
        _program.TraceStateString = "vendor=1, other=2";
        _program.AddBaggage("customer", "canary");
    }

    [TearDown]
    public void End()
    {
        _listener?.Dispose();
        _listener = null;
        Assert.That(Activity.Current, Is.SameAs(_program));
        _program!.Stop();
    }

    private void Listen(ActivitySamplingResult sampling = ActivitySamplingResult.AllDataAndRecorded)
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "CommBox",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => sampling,
            ActivityStopped = activity =>
            {
                _threads.Enqueue(Thread.CurrentThread.Name);
                _ended.Enqueue(activity);
            },
        };
        ActivitySource.AddActivityListener(_listener);
    }

    /// <summary>Makes a call in one of its forms, and throws what it throws.</summary>
    private async Task Call(
        string form,
        CommBoxClient client,
        CommBoxCallOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        var user = new UserInfo { FirstName = "canary" };
        Activity? before = Activity.Current;
        switch (form)
        {
            case "synchronous":
                client.UpdateUser(Id, user, options, cancellationToken);
                break;
            case "asynchronous":
                await client.UpdateUserAsync(Id, user, options, cancellationToken);
                break;
            default:
                UserUpdate[] updates = [new(Id, user) { Options = options }];
                var batch = new CommBoxBatchOptions { StopOnUnauthorized = false };
                await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
                    updates, batch, cancellationToken))
                {
                    Assert.That(Activity.Current, Is.SameAs(before));
                    if (result.Error is not null)
                    {
                        throw result.Error;
                    }
                }
                break;
        }
        Assert.That(Activity.Current, Is.SameAs(before));
    }

    private static CommBoxClientOptions Brisk =>
        new() { RetryBase = TimeSpan.FromMilliseconds(1), MaxRetries = 1 };

    private static Dictionary<string, object?> Tags(Activity activity) => new(activity.TagObjects);

    private string? Header(string name, int request = 0) =>
        Sandbox.Requests()[request].GetProperty("headers").TryGetProperty(
            name, out JsonElement value)
            ? value.GetString()
            : null;

    [TestCaseSource(nameof(Forms))]
    public async Task CallIsAnActivity(string form)
    {
        Sandbox.Script("""[{"status": 503}, {"own": true}]""");
        Listen();
        using CommBoxClient client = Sandbox.Client(Brisk);
        await Call(form, client);
        Activity activity = _ended.Single();
        Assert.That(activity.Kind, Is.EqualTo(ActivityKind.Client));
        Assert.That(activity.DisplayName, Is.EqualTo("POST /users/{id}"));
        Assert.That(activity.ParentId, Is.EqualTo(_program!.Id));
        Assert.That(activity.Status, Is.EqualTo(ActivityStatusCode.Unset));
        var server = new Uri(Sandbox.Url);
        Assert.That(Tags(activity), Is.EquivalentTo(new Dictionary<string, object?>
        {
            ["http.request.method"] = "POST",
            ["url.template"] = "/users/{id}",
            ["server.address"] = server.Host,
            ["server.port"] = server.Port,
            ["http.response.status_code"] = 200,
            ["http.request.resend_count"] = 1,
            ["commbox.delivery"] = "answered",
        }));
        Assert.That(Header("traceparent"), Is.EqualTo(activity.Id));
        Assert.That(Header("traceparent", request: 1), Is.EqualTo(activity.Id));
        Assert.That(Header("tracestate"), Is.EqualTo("vendor=1, other=2"));
        Assert.That(
            Sandbox.Requests().Select(request => $"{request}"), Has.None.Contain("baggage"));
        Assert.That(_threads, Has.None.EqualTo("CommBox"), "the library's thread ran a listener");
    }

    [TestCaseSource(nameof(Forms))]
    public void FailureIsReportedByItsStatus(string form)
    {
        Listen();
        using CommBoxClient client = Sandbox.Client("canary-key");
        Assert.ThrowsAsync<CommBoxApiException>(() => Call(form, client));
        Activity activity = _ended.Single();
        Assert.That(activity.Status, Is.EqualTo(ActivityStatusCode.Error));
        Dictionary<string, object?> tags = Tags(activity);
        Assert.That(tags["http.response.status_code"], Is.EqualTo(401));
        Assert.That(tags["error.type"], Is.EqualTo("401"));
        Assert.That(tags["commbox.delivery"], Is.EqualTo("answered"));
        Assert.That(tags.Keys, Has.None.EqualTo("http.request.resend_count"));
        string told = activity.StatusDescription + string.Join(",", tags.Values);
        Assert.That(told, Does.Not.Contain("canary").And.Not.Contain($"{Id}"));
    }

    [TestCaseSource(nameof(Forms))]
    public void FailureWithoutReplyIsReportedByItsName(string form)
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 5000}]""");
        Listen();
        using CommBoxClient client = Sandbox.Client(timeout: TimeSpan.FromMilliseconds(300));
        Assert.ThrowsAsync<CommBoxTimeoutException>(() => Call(form, client));
        Dictionary<string, object?> tags = Tags(_ended.Single());
        Assert.That(tags["error.type"], Is.EqualTo("timeout"));
        Assert.That(tags["commbox.delivery"], Is.EqualTo("unknown"));
        Assert.That(tags.Keys, Has.None.EqualTo("http.response.status_code"));
        Assert.ThrowsAsync<CommBoxValidationException>(
            () => Call(form, client, new() { MaxRetries = -1 }));
        tags = Tags(_ended.Last());
        Assert.That(_ended, Has.Count.EqualTo(2));
        Assert.That(tags["error.type"], Is.EqualTo("invalid_options"));
        Assert.That(tags["commbox.delivery"], Is.EqualTo("not_sent"));
    }

    [TestCaseSource(nameof(Forms))]
    public void CancelledCallEndsItsActivity(string form)
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 5000}]""");
        Listen();
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource(500);
        Assert.CatchAsync<OperationCanceledException>(
            () => Call(form, client, cancellationToken: source.Token));
        Dictionary<string, object?> tags = Tags(_ended.Single());
        Assert.That(tags["error.type"], Is.EqualTo("cancelled"));
        Assert.That(tags["commbox.delivery"], Is.EqualTo("unknown"));
    }

    [TestCaseSource(nameof(Forms))]
    public async Task ActivityOfTheProgramIsSentWithoutAListener(string form)
    {
        using CommBoxClient client = Sandbox.Client();
        await Call(form, client);
        Assert.That(Header("traceparent"), Is.EqualTo(_program!.Id));
        Assert.That(_ended, Is.Empty);

        Sandbox.Reset();
        Listen(ActivitySamplingResult.None);
        await Call(
            form, client, new() { Headers = { ["TraceParent"] = "own", ["X-Other"] = "1" } });
        Assert.That(Header("traceparent"), Is.EqualTo("own"));
        Assert.That(Header("x-other"), Is.EqualTo("1"));

        // As many as a call may have: those of a trace make none fail.
        Sandbox.Reset();
        var full = new CommBoxCallOptions();
        for (int header = 0; header < 32; header++)
        {
            full.Headers[$"X-{header}"] = "1";
        }
        await Call(form, client, full);
        Assert.That(Header("traceparent"), Is.Null);
        Assert.That(Header("x-31"), Is.EqualTo("1"));
        Assert.That(full.Headers, Has.Count.EqualTo(32));
    }

    [TestCaseSource(nameof(Forms))]
    public async Task NothingIsSentIfPropagationIsDisabled(string form)
    {
        DistributedContextPropagator usual = DistributedContextPropagator.Current;
        using CommBoxClient client = Sandbox.Client();
        try
        {
            DistributedContextPropagator.Current =
                DistributedContextPropagator.CreateNoOutputPropagator();
            await Call(form, client);
        }
        finally
        {
            DistributedContextPropagator.Current = usual;
        }
        Assert.That(Header("traceparent"), Is.Null);

        // What no header can carry fails no call.
        _program!.TraceStateString = "vendor=\u00e9";
        await Call(form, client);
        _program.TraceStateString = null;
        Assert.That(Header("traceparent", request: 1), Is.EqualTo(_program.Id));
        Assert.That(Header("tracestate", request: 1), Is.Null);
    }

    [Test]
    public async Task EachUpdateOfABatchHasAnActivityThatEnds()
    {
        Listen();
        using CommBoxClient client = Sandbox.Client();
        IEnumerable<UserUpdate> updates = Enumerable.Range(1, 50).Select(
            id => new UserUpdate(id, "{}"));
        int seen = 0;
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(updates))
        {
            Assert.That(_ended, Has.Count.EqualTo(++seen));
            Assert.That(result.IsSuccess);
        }
        Assert.That(_ended.Select(activity => activity.Id).Distinct().Count(), Is.EqualTo(50));
        Assert.That(_ended.Select(activity => activity.ParentId), Is.All.EqualTo(_program!.Id));
        Assert.That(
            _ended.Select(activity => Tags(activity)["commbox.delivery"]),
            Is.All.EqualTo("answered"));
    }

    [Test]
    public async Task EndedActivityIsStillTheParent()
    {
        Listen();
        using CommBoxClient client = Sandbox.Client();
        var options = new CommBoxBatchOptions { Concurrency = 1, QueueLimit = 1 };
        IEnumerable<UserUpdate> updates = Enumerable.Range(1, 5).Select(
            id => new UserUpdate(id, "{}"));
        using Activity parent = new Activity("ends early").Start();
        await foreach (CommBoxBatchResult _ in client.UpdateUsersAsync(updates, options))
        {
            parent.Stop();
        }
        Assert.That(_ended, Has.Count.EqualTo(5));
        Assert.That(_ended.Select(activity => activity.ParentId), Is.All.EqualTo(parent.Id));
    }

    [Test]
    public async Task NoActivityStaysOpenIfTheResultsAreAbandoned()
    {
        int begun = 0;
        Listen();
        _listener!.ActivityStarted = _ => Interlocked.Increment(ref begun);
        using CommBoxClient client = Sandbox.Client();
        IEnumerable<UserUpdate> updates = Enumerable.Range(1, 200).Select(
            id => new UserUpdate(id, "{}"));
        await foreach (CommBoxBatchResult _ in client.UpdateUsersAsync(updates))
        {
            break;
        }
        Assert.That(() => _ended.Count == Volatile.Read(ref begun), Is.True.After(5000, 10));
        Assert.That(begun, Is.GreaterThan(0));
    }

    [Test]
    public void SubclassThatCallsTheClientIsTracedOnce()
    {
        Listen();
        using var client = new Double(new() { BaseUrl = Sandbox.Url, ApiKey = Sandbox.ApiKey });
        client.UpdateUser(Id, new UserInfo { FirstName = "John" });
        Assert.That(_ended, Has.Count.EqualTo(1));
    }

    private sealed class Double(CommBoxClientOptions options) : CommBoxClient(options: options)
    {
    }
}
