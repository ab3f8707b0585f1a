using System.Text.Json;

namespace CommBox.Tests;

/// <summary>Options of single calls, what came back, checks without sending, and figures.</summary>
public sealed class CallTests : SandboxFixture
{
    private const long Id = 94382332;

    /// <summary>Every form of the call that takes options, and the batch.</summary>
    private static readonly Func<CommBoxClient, CommBoxCallOptions, Task<UpdateResult>>[] Forms =
    [
        (client, options) => client.UpdateUserAsync(Id, new UserInfo { FirstName = "John" }, options),
        (client, options) => client.UpdateUserJsonAsync(Id, "{}", options),
        (client, options) => Task.FromResult(client.UpdateUser(Id, new UserInfo { FirstName = "John" }, options)),
        (client, options) => Task.FromResult(client.UpdateUserJson(Id, "{}", options)),
        async (client, options) =>
        {
            UserUpdate[] one = [new UserUpdate(Id, "{}") { Options = options }];
            await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(one))
            {
                return result.Result ?? throw result.Error!;
            }
            throw new InvalidOperationException("no result");
        },
    ];

    [Test]
    public void TimeoutOfACallReplacesTheClients([Range(0, 4)] int form)
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 5000}]""");
        using CommBoxClient client = Sandbox.Client();
        var brief = new CommBoxCallOptions { Timeout = TimeSpan.FromMilliseconds(200) };
        var error = Assert.ThrowsAsync<CommBoxTimeoutException>(() => Forms[form](client, brief))!;
        Assert.That(error.Elapsed, Is.LessThan(TimeSpan.FromSeconds(4)));
        Assert.That(error.Attempts, Is.EqualTo(1));
    }

    [Test]
    public async Task RetriesOfACallReplaceTheClients([Range(0, 4)] int form)
    {
        Sandbox.Script(
            """[{"status": 503}, {"status": 503}, {"own": true, "headers": {"X-Request-Id": "req-7"}}]""");
        using CommBoxClient client = Sandbox.Client(
            new CommBoxClientOptions { MaxRetries = 0, RetryBase = TimeSpan.FromMilliseconds(1) });
        UpdateResult result = await Forms[form](client, new CommBoxCallOptions { MaxRetries = 2 });
        Assert.That((result.Id, result.Attempts), Is.EqualTo((Id, 3)));
        Assert.That(result.Elapsed, Is.LessThan(TimeSpan.FromSeconds(30)));
        Assert.That(result.RequestId, Is.EqualTo("req-7"));
    }

    [Test]
    public async Task HeadersOfACallAreAddedToTheClients([Range(0, 4)] int form)
    {
        using CommBoxClient client = Sandbox.Client(
            new CommBoxClientOptions { Headers = { ["X-Gateway-Key"] = "gate", ["X-Trace"] = "client" } });
        var options = new CommBoxCallOptions { Headers = { ["x-trace"] = "call" } };
        Assert.That((await Forms[form](client, options)).RequestId, Is.Null);
        JsonElement headers = Sandbox.Requests().Single().GetProperty("headers");
        Assert.That(headers.GetProperty("x-gateway-key").GetString(), Is.EqualTo("gate"));
        Assert.That(headers.GetProperty("x-trace").GetString(), Is.EqualTo("call"));
    }

    [Test]
    public void AllInvalidOptionsAreReported([Range(0, 4)] int form)
    {
        using CommBoxClient client = Sandbox.Client();
        var wrong = new CommBoxCallOptions
        {
            Timeout = TimeSpan.Zero,
            MaxRetries = 101,
            Headers = { ["Authorization"] = "canary" },
        };
        var error = Assert.ThrowsAsync<CommBoxValidationException>(() => Forms[form](client, wrong))!;
        Assert.That((error.Code, error.Name, error.Delivery),
            Is.EqualTo((-3, "invalid_options", CommBoxDelivery.NotSent)));
        Assert.That(
            error.Message,
            Does.StartWith("Timeout must be from 1 ms to 24 hours; MaxRetries must be from 0 to 100; ")
                .And.Contains("Headers[\"Authorization\"] "));
        Assert.That(error.ToString(), Does.Not.Contain("canary"));
        Assert.That(Sandbox.Requests(), Is.Empty);
    }

    [Test]
    public async Task InvalidOptionsFailOnlyTheirUpdate()
    {
        using CommBoxClient client = Sandbox.Client();
        IEnumerable<UserUpdate> updates = Enumerable.Range(1, 20).Select(id => new UserUpdate(id, "{}")
        {
            Options = id % 5 == 0 ? new CommBoxCallOptions { MaxRetries = -1 } : null,
        });
        var progress = new Last();
        var failed = new List<long>();
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
            updates, new CommBoxBatchOptions { Progress = progress }))
        {
            if (!result.IsSuccess)
            {
                Assert.That(result.Error.Message, Is.EqualTo("MaxRetries must not be negative"));
                failed.Add(result.Update.UserId);
            }
        }
        Assert.That(failed, Is.EquivalentTo(new[] { 5, 10, 15, 20 }));
        Assert.That(progress.Told!.FailedByCode, Is.EqualTo(new Dictionary<int, long> { [-3] = 4 }));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(16));
    }

    [Test]
    public void FailureHasTheRequestId()
    {
        Sandbox.Script("""[{"status": 400, "headers": {"Request-Id": "req-8"}}, {"status": 400}]""");
        using CommBoxClient client = Sandbox.Client();
        Assert.That(
            Assert.Throws<CommBoxApiException>(() => client.UpdateUserJson(Id, "{}"))!.RequestId, Is.EqualTo("req-8"));
        Assert.That(Assert.Throws<CommBoxApiException>(() => client.UpdateUserJson(Id, "{}"))!.RequestId, Is.Null);
    }

    [Test]
    public void RequestIdIsReadFromTheConfiguredHeader()
    {
        Sandbox.Script("""[{"own": true, "headers": {"X-Trace": "trace-9", "X-Request-Id": "other"}}]""");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { RequestIdHeader = "X-Trace" });
        Assert.That(client.UpdateUserJson(Id, "{}").RequestId, Is.EqualTo("trace-9"));
    }

    [Test]
    public void ValidationSendsNothing()
    {
        using CommBoxClient client = Sandbox.Client();
        client.ValidateUser(Id, new UserInfo { FirstName = "John" });
        client.ValidateUserJson(Id, """{"data": {"FirstName": "John"}}""");
        var user = new UserInfo { FirstName = new string('x', 101), Email = new string('y', 256) };
        var error = Assert.Throws<CommBoxValidationException>(() => client.ValidateUser(Id, user))!;
        Assert.That((error.Code, error.Name), Is.EqualTo((-4, "invalid_user")));
        Assert.That(error.Message, Does.Contain("FirstName").And.Contain("Email"));
        Assert.Throws<CommBoxValidationException>(() => client.ValidateUser(0, new UserInfo()));
        Assert.Throws<CommBoxValidationException>(() => client.ValidateUserJson(Id, """{"firstName": "John"}"""));
        Assert.Throws<ArgumentNullException>(() => client.ValidateUser(Id, null!));
        Assert.Throws<ArgumentNullException>(() => client.ValidateUserJson(Id, null!));
        client.Dispose();
        Assert.Throws<ObjectDisposedException>(() => client.ValidateUserJson(Id, "{}"));
        Assert.That(Sandbox.Requests(), Is.Empty);
    }

    [Test]
    public void FieldsThatTheApiWouldDropAreRefusedUnlessTheyAreAllowed()
    {
        using CommBoxClient strict = Sandbox.Client(new CommBoxClientOptions { CustomFields = ["VIP_Status"] });
        var error = Assert.Throws<CommBoxValidationException>(() => strict.ValidateUserJson(Id, """{"Score": 1}"""))!;
        Assert.That(error.Message, Does.StartWith("Score is not a field of a user").And.EndWith("set UnknownFields to \"allow\""));
        error = Assert.Throws<CommBoxValidationException>(
            () => strict.ValidateUser(Id, new UserInfo { Content = { ["Vip_Status"] = "8" } }))!;
        Assert.That(error.Message, Does.Contain("VIP_Status"));
        strict.ValidateUser(Id, new UserInfo { Content = { ["VIP_Status"] = "8" } });
        using CommBoxClient lax = Sandbox.Client(new CommBoxClientOptions { UnknownFields = CommBoxUnknownFields.Allow });
        lax.ValidateUserJson(Id, """{"Score": 1}""");
    }

    [Test]
    public void DiagnoseShowsTheWayToTheServer()
    {
        using CommBoxClient client = Sandbox.Client("canary-key");
        using JsonDocument found = JsonDocument.Parse(client.DiagnoseJson());
        Assert.That(
            found.RootElement.GetProperty("server").GetProperty("port").GetInt32(), Is.EqualTo(new Uri(Sandbox.Url).Port));
        Assert.That(found.RootElement.GetProperty("http").GetProperty("error").ValueKind, Is.EqualTo(JsonValueKind.Null));
        Assert.That(found.RootElement.ToString(), Does.Not.Contain("canary"));
        Assert.Throws<OperationCanceledException>(() => client.DiagnoseJson(new CancellationToken(canceled: true)));
        Assert.That(Sandbox.Requests().Select(request => request.GetProperty("method").GetString()), Has.None.EqualTo("POST"));
    }

    [Test]
    public void StatisticsCountWhatWasDone()
    {
        Sandbox.Script("""[{"own": true}, {"status": 503}, {"own": true}, {"status": 404}]""");
        using CommBoxClient client = Sandbox.Client(
            new CommBoxClientOptions { RetryBase = TimeSpan.FromMilliseconds(1), MaxRequestsPerSecond = 1000 });
        Assert.That(client.GetStatistics().Latency.P50, Is.Null);
        client.UpdateUserJson(Id, "{}");
        client.UpdateUserJson(Id, "{}");
        Assert.Throws<CommBoxApiException>(() => client.UpdateUserJson(Id, "{}"));
        CommBoxStatistics stats = client.GetStatistics();
        Assert.That((stats.Calls, stats.Succeeded, stats.Failed), Is.EqualTo((3, 2, 1)));
        Assert.That(stats.FailedByCode, Is.EqualTo(new Dictionary<int, long> { [404] = 1 }));
        Assert.That((stats.Attempts, stats.Retried, stats.Throttled, stats.Refused), Is.EqualTo((4, 1, 0, 1)));
        Assert.That((stats.Waiting, stats.InFlight), Is.EqualTo((0, 0)));
        Assert.That(stats.ConnectionsOpened, Is.GreaterThanOrEqualTo(1));
        Assert.That(stats.ConnectionsOpen, Is.LessThanOrEqualTo(stats.ConnectionsOpened));
        Assert.That((stats.State, stats.RequestsPerSecond), Is.EqualTo(("open", 1000)));
        Assert.That((stats.LearnedRequestsPerSecond, stats.ProbeIn), Is.EqualTo((null as double?, null as TimeSpan?)));
        Assert.That(stats.Latency.Count, Is.EqualTo(3));
        Assert.That(stats.Latency.Sum, Is.GreaterThan(TimeSpan.Zero));
        Assert.That(stats.Latency.P50, Is.LessThanOrEqualTo(stats.Latency.P99));
        client.Dispose();
        Assert.Throws<ObjectDisposedException>(() => client.GetStatistics());
    }

    private sealed class Last : IProgress<CommBoxBatchStatistics>
    {
        internal CommBoxBatchStatistics? Told { get; private set; }

        public void Report(CommBoxBatchStatistics value) => Told = value;
    }
}
