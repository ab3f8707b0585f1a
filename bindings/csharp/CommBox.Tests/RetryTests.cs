using System.Diagnostics;

namespace CommBox.Tests;

/// <summary>What is tried again, and how long that may take.</summary>
public sealed class RetryTests : SandboxFixture
{
    private const long Id = 94382332;

    [Test]
    public void TransientFailureIsRetriedSuccessfully()
    {
        Sandbox.Script("""[{"status": 503}, {"own": true}]""");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { RetryBase = TimeSpan.FromMilliseconds(1) });
        Assert.That(client.UpdateUser(Id, new UserInfo { FirstName = "John" }).Id, Is.EqualTo(Id));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(2));
        Assert.That(Sandbox.User(Id).GetProperty("FirstName").GetString(), Is.EqualTo("John"));
    }

    [Test]
    public void PersistentFailureIsRetriedUpToTheLimit()
    {
        Sandbox.Script("""[{"status": 500}, {"status": 502}, {"status": 503}, {"own": true}]""");
        var brisk = new CommBoxClientOptions { MaxRetries = 2, RetryBase = TimeSpan.FromMilliseconds(1) };
        using CommBoxClient client = Sandbox.Client(brisk);
        var error = Assert.Throws<CommBoxApiException>(() => client.UpdateUserJson(Id, "{}"))!;
        Assert.That((error.Code, error.Attempts), Is.EqualTo((503, 3)));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(3));
    }

    [Test]
    public void RetryAfterIsHonoured()
    {
        Sandbox.Script("""[{"status": 429, "headers": {"Retry-After": "1"}}, {"own": true}]""");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { RetryBase = TimeSpan.FromMilliseconds(1) });
        var watch = Stopwatch.StartNew();
        client.UpdateUserJson(Id, "{}");
        Assert.That(watch.Elapsed, Is.InRange(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(6)));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(2));
    }

    [Test]
    public void RetryAfterBeyondTheTimeoutFailsAtOnce()
    {
        Sandbox.Script("""[{"status": 503, "headers": {"Retry-After": "5"}}]""");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { Timeout = TimeSpan.FromSeconds(4) });
        var error = Assert.Throws<CommBoxApiException>(() => client.UpdateUserJson(Id, "{}"))!;
        Assert.That((error.RetryAfter, error.Attempts), Is.EqualTo((TimeSpan.FromSeconds(5), 1)));
        Assert.That(error.Elapsed, Is.LessThan(TimeSpan.FromSeconds(3)));
    }

    [Test]
    public void TimeoutBoundsTheCallWithAllItsAttempts()
    {
        Sandbox.Script($"[{string.Join(',', Enumerable.Repeat("""{"delay_ms": 5000}""", 20))}]");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions
        {
            Timeout = TimeSpan.FromMilliseconds(400),
            AttemptTimeout = TimeSpan.FromMilliseconds(100),
            MaxRetries = 100,
            RetryBase = TimeSpan.FromMilliseconds(1),
            RetryCap = TimeSpan.FromMilliseconds(1),
        });
        var watch = Stopwatch.StartNew();
        var error = Assert.Throws<CommBoxTimeoutException>(() => client.UpdateUserJson(Id, "{}"))!;
        Assert.That(watch.Elapsed, Is.InRange(TimeSpan.FromMilliseconds(390), TimeSpan.FromSeconds(4.5)));
        Assert.That(error.Attempts, Is.InRange(2, 5));
        Assert.That(error.Delivery, Is.EqualTo(CommBoxDelivery.Unknown));
    }
}
