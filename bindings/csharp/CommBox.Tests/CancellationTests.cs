using System.Diagnostics;

namespace CommBox.Tests;

/// <summary>Ending calls before they are done.</summary>
public sealed class CancellationTests : SandboxFixture
{
    private const long Id = 94382332;
    private const string Slow = """{"delay_ms": 5000}""";

    /// <summary>Every form of the call.</summary>
    private static readonly Func<CommBoxClient, CancellationToken, Task>[] Forms =
    [
        (client, token) => client.UpdateUserAsync(Id, new UserInfo { FirstName = "John" }, token),
        (client, token) => client.UpdateUserJsonAsync(Id, "{}", token),
        (client, token) => Task.FromResult(client.UpdateUser(Id, new UserInfo { FirstName = "John" }, token)),
        (client, token) => Task.FromResult(client.UpdateUserJson(Id, "{}", token)),
    ];

    [Test]
    public void TokenEndsACallThatWaitsForTheServer([Range(0, 3)] int form)
    {
        Sandbox.Script($"[{Slow}]");
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource(100);
        CommBoxException call = Cancelled(() => Forms[form](client, source.Token), source.Token);
        Assert.That((call.Code, call.Name), Is.EqualTo((-8, "cancelled")));
        Assert.That((call.Delivery, call.Attempts), Is.EqualTo((CommBoxDelivery.Unknown, 1)));
        Assert.That(call.Elapsed, Is.InRange(TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(4.5)));
    }

    [Test]
    public async Task TokenEndsOnlyItsOwnCall()
    {
        Sandbox.Script($$"""[{{Slow}}, {"own": true, "delay_ms": 500}, {"own": true, "delay_ms": 500}]""");
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource();
        using var other = new CancellationTokenSource();
        Task<UpdateResult> cancelled = client.UpdateUserAsync(1, new UserInfo(), source.Token);
        AwaitRequests(1);
        Task<UpdateResult>[] others =
            [client.UpdateUserAsync(2, new UserInfo(), other.Token), client.UpdateUserAsync(3, new UserInfo())];
        AwaitRequests(3);
        source.Cancel();
        Cancelled(() => cancelled, source.Token);
        Assert.That(cancelled.IsCanceled);
        Assert.That((await Task.WhenAll(others)).Select(result => result.Id), Is.EqualTo(new[] { 2, 3 }));
    }

    [Test]
    public void TokenIsReleasedAfterItsCall()
    {
        Sandbox.Script($$"""[{{Slow}}, {"own": true, "delay_ms": 200}]""");
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource(50);
        Assert.Throws<OperationCanceledException>(() => client.UpdateUser(Id, new UserInfo(), source.Token));
        Assert.That(client.UpdateUser(Id, new UserInfo()).Id, Is.EqualTo(Id));
    }

    [TestCase(429)]
    [TestCase(503)]
    public void TokenEndsTheBackoff(int status)
    {
        Sandbox.Script($$$"""[{"status": {{{status}}}, "headers": {"Retry-After": "5"}}]""");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions());
        using var source = new CancellationTokenSource(200);
        CommBoxException call = Cancelled(() => client.UpdateUserAsync(Id, new UserInfo(), source.Token), source.Token);
        Assert.That((call.Delivery, call.Attempts), Is.EqualTo((CommBoxDelivery.Answered, 1)));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(1));
    }

    [Test]
    public void TokenEndsThePendingCall()
    {
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxRequestsPerSecond = 0.1 });
        client.UpdateUserJson(Id, "{}");
        using var source = new CancellationTokenSource(100);
        CommBoxException call = Cancelled(() => client.UpdateUserAsync(Id, new UserInfo(), source.Token), source.Token);
        Assert.That((call.Delivery, call.Attempts), Is.EqualTo((CommBoxDelivery.NotSent, 0)));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(1));
    }

    [Test]
    public void AlreadyCancelledTokenSendsNothing([Range(0, 3)] int form)
    {
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource();
        source.Cancel();
        var error = Assert.CatchAsync<OperationCanceledException>(() => Forms[form](client, source.Token))!;
        Assert.That(error.CancellationToken, Is.EqualTo(source.Token));
        Assert.That(error.InnerException, Is.Null);
        Assert.That(Sandbox.Requests(), Is.Empty);
    }

    [Test]
    public async Task CancelEndsAllCallsInFlight()
    {
        Sandbox.Script($"[{Slow}, {Slow}]");
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource();
        Task<UpdateResult>[] calls = [client.UpdateUserJsonAsync(1, "{}"), client.UpdateUserJsonAsync(2, "{}", source.Token)];
        AwaitRequests(2);
        client.Cancel();
        foreach (Task<UpdateResult> call in calls)
        {
            Assert.That(Cancelled(() => call, CancellationToken.None).Delivery,
                Is.EqualTo(CommBoxDelivery.Unknown));
            Assert.That(call.IsCanceled);
        }
        Assert.That((await client.UpdateUserJsonAsync(3, "{}")).Id, Is.EqualTo(3));
    }

    [Test]
    public void CancelFromAnotherThreadEndsASynchronousCall()
    {
        Sandbox.Script($"[{Slow}]");
        using CommBoxClient client = Sandbox.Client();
        var other = new Thread(() =>
        {
            AwaitRequests(1);
            client.Cancel();
        });
        other.Start();
        var error = Assert.Throws<OperationCanceledException>(() => client.UpdateUser(Id, new UserInfo()))!;
        other.Join();
        Assert.That(((CommBoxException)error.InnerException!).Elapsed, Is.LessThan(TimeSpan.FromSeconds(4)));
    }

    /// <summary>The call ends, cancelled by this token; returns what is known about it.</summary>
    private static CommBoxException Cancelled(Func<Task> call, CancellationToken token)
    {
        var watch = Stopwatch.StartNew();
        // Exactly this type: a TaskCanceledException would have lost what stands inside.
        var error = Assert.ThrowsAsync<OperationCanceledException>(() => call())!;
        Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(4.5)));
        Assert.That(error.CancellationToken, Is.EqualTo(token));
        return (CommBoxException)error.InnerException!;
    }
}
