using System.Diagnostics;

namespace CommBox.Tests;

/// <summary>Calls that hold no thread while they wait.</summary>
public sealed class AsyncTests : SandboxFixture
{
    private const string Slow = """{"delay_ms": 5000}""";

    /// <summary>More than are handed to the library at a time.</summary>
    private const int Many = 1050;

    [Test]
    public async Task WaitingCallsHoldNoPoolThread()
    {
        Sandbox.Script($"[{string.Join(',', Enumerable.Repeat("""{"own": true, "delay_ms": 100}""", 500))}]");
        using CommBoxClient client = Sandbox.Client();
        var watch = Stopwatch.StartNew();
        Task<UpdateResult>[] calls =
            [.. Enumerable.Range(1, 500).Select(id => client.UpdateUserAsync(id, new UserInfo { Remarks = $"{id}" }))];
        Task<UpdateResult[]> all = Task.WhenAll(calls);
        int threads = 0;
        while (!all.IsCompleted)
        {
            threads = Math.Max(threads, ThreadPool.ThreadCount);
            await Task.Delay(20);
        }
        // The calls wait for 50 s in all; the threads of the pool have not even lived for half of that.
        Assert.That(threads * watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(25)));
        Assert.That((await all).Select(result => result.Id), Is.EqualTo(Enumerable.Range(1, 500)));
    }

    [Test]
    public void OneCallAmongManyIsCancelledAtOnce([Values("under way", "behind one of its user", "not begun")] string which)
    {
        Sandbox.Script($"[{Slow}, {Slow}]");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 1 });
        using var source = new CancellationTokenSource();
        int cancelled = which switch { "under way" => 0, "behind one of its user" => 5, _ => Many - 1 };
        Task<UpdateResult>[] calls =
        [
            .. Enumerable.Range(0, Many).Select(call =>
                client.UpdateUserJsonAsync(call <= 5 ? 1 : call, "{}", call == cancelled ? source.Token : default)),
        ];
        AwaitRequests(1);
        var watch = Stopwatch.StartNew();
        source.Cancel();
        var error = Assert.ThrowsAsync<OperationCanceledException>(() => calls[cancelled])!;
        Assert.That(watch.ElapsedMilliseconds, Is.LessThan(4500));
        Assert.That(error.CancellationToken, Is.EqualTo(source.Token));
        Assert.That(calls[cancelled].IsCanceled);
        CommBoxDelivery? delivery = (error.InnerException as CommBoxException)?.Delivery;
        Assert.That(delivery, Is.EqualTo(which switch
        {
            "under way" => CommBoxDelivery.Unknown,
            "behind one of its user" => CommBoxDelivery.NotSent,
            _ => null as CommBoxDelivery?,
        }));
        Assert.That(calls.Count(call => call.IsCompleted), Is.EqualTo(1));
        client.Cancel();
        Assert.CatchAsync<OperationCanceledException>(() => Task.WhenAll(calls));
    }

    [Test]
    public async Task CancelEndsAllCallsButNoLaterOne()
    {
        Sandbox.Script($"[{Slow}, {Slow}]");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 2 });
        Task<UpdateResult>[] calls = [.. Enumerable.Range(1, Many).Select(id => client.UpdateUserJsonAsync(id, "{}"))];
        AwaitRequests(2);
        var watch = Stopwatch.StartNew();
        client.Cancel();
        foreach (Task<UpdateResult> call in calls)
        {
            var error = Assert.ThrowsAsync<OperationCanceledException>(() => call)!;
            Assert.That(error.CancellationToken, Is.EqualTo(CancellationToken.None));
        }
        Assert.That(watch.ElapsedMilliseconds, Is.LessThan(4500));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(2));
        Assert.That((await client.UpdateUserJsonAsync(1, "{}")).Id, Is.EqualTo(1));
    }

    [Test]
    public async Task OneTokenEndsAllItsCalls()
    {
        Sandbox.Script($"[{Slow}, {Slow}]");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 2 });
        using var source = new CancellationTokenSource();
        Task<UpdateResult>[] calls =
            [.. Enumerable.Range(1, Many).Select(id => client.UpdateUserJsonAsync(id, "{}", source.Token))];
        AwaitRequests(2);
        var watch = Stopwatch.StartNew();
        source.Cancel();
        Assert.CatchAsync<OperationCanceledException>(() => Task.WhenAll(calls));
        Assert.That(watch.ElapsedMilliseconds, Is.LessThan(4500));
        Assert.That(calls.Count(call => call.IsCanceled), Is.EqualTo(Many));
        Assert.That((await client.UpdateUserJsonAsync(1, "{}")).Id, Is.EqualTo(1));
    }

    [Test]
    public async Task UpdatesOfOneUserKeepTheOrderOfTheCalls()
    {
        using CommBoxClient client = Sandbox.Client();
        await Task.WhenAll(Enumerable.Range(0, Many).Select(call =>
            client.UpdateUserJsonAsync(1, $$"""{"Remarks":"{{call}}"}""")));
        Assert.That(
            Sandbox.Requests().Select(request => request.GetProperty("body").GetString()),
            Is.EqualTo(Enumerable.Range(0, Many).Select(call => $$$"""{"data":{"Remarks":"{{{call}}}"}}""")));
    }

    [Test]
    public async Task CallsAndTheirTokensOutliveDispose()
    {
        Sandbox.Script("""[{"delay_ms": 60000}]""");
        CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource();
        Task<UpdateResult> slow = client.UpdateUserJsonAsync(Many, "{}", source.Token);
        AwaitRequests(1);
        Task<UpdateResult>[] calls = [.. Enumerable.Range(1, Many - 1).Select(id => client.UpdateUserJsonAsync(id, "{}"))];
        client.Dispose();
        Assert.ThrowsAsync<ObjectDisposedException>(() => client.UpdateUserJsonAsync(1, "{}"));
        await Task.WhenAll(calls);
        Assert.That(slow.IsCompleted, Is.False);
        source.Cancel();
        Assert.ThrowsAsync<OperationCanceledException>(() => slow);
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(Many));
    }

    [Test]
    public async Task MaxConcurrencyLimitsTheCallsInFlight()
    {
        Sandbox.Script($"[{Slow}, {Slow}, {Slow}, {Slow}]");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 3 });
        Task<UpdateResult>[] calls = [.. Enumerable.Range(1, 5).Select(id => client.UpdateUserJsonAsync(id, "{}"))];
        AwaitRequests(3);
        await Task.Delay(200);
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(3));
        client.Cancel();
        Assert.CatchAsync<OperationCanceledException>(() => Task.WhenAll(calls));
    }

    [Test]
    public async Task RejectedKeyStopsNoOtherCall()
    {
        using CommBoxClient client = Sandbox.Client("another-key");
        for (int call = 0; call < 3; call++)
        {
            Assert.That(
                Assert.ThrowsAsync<CommBoxApiException>(() => client.UpdateUserJsonAsync(1, "{}"))!.Code, Is.EqualTo(401));
        }
        client.SetApiKey(Sandbox.ApiKey);
        Assert.That((await client.UpdateUserJsonAsync(1, "{}")).Id, Is.EqualTo(1));
    }

    [Test]
    public async Task CallAfterAPauseWorksLikeTheFirstOne()
    {
        using CommBoxClient client = Sandbox.Client();
        Assert.That((await client.UpdateUserAsync(1, new UserInfo())).Id, Is.EqualTo(1));
        // The thread that takes back what has finished is gone by then.
        await Task.Delay(1200);
        Assert.That((await client.UpdateUserAsync(1, new UserInfo())).Id, Is.EqualTo(1));
    }

    [Test]
    public void TextThatCWouldTruncateOrChangeIsRefused()
    {
        using CommBoxClient client = Sandbox.Client();
        var error = Assert.ThrowsAsync<CommBoxValidationException>(() => client.UpdateUserJsonAsync(1, "{}\0"))!;
        Assert.That(error.Message, Does.StartWith("userJson has a NUL character at index 2"));
        Assert.ThrowsAsync<ArgumentNullException>(() => client.UpdateUserJsonAsync(1, (string)null!));
        Assert.That(Sandbox.Requests(), Is.Empty);
    }

    [TestCase(0)]
    [TestCase(257)]
    public void MaxConcurrencyIsCheckedWithTheOtherOptions(int count)
    {
        var options = new CommBoxClientOptions { MaxConcurrency = count };
        var error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("key", options))!;
        Assert.That(error.Message, Is.EqualTo("MaxConcurrency must be from 1 to 256"));
    }
}
