using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace CommBox.Tests;

/// <summary>
/// Asynchronous calls that wait: what they cost others, and what is left of them.
/// </summary>
public sealed class QueueTests : SandboxFixture
{
    private const string Slow = """{"delay_ms": 5000}""";

    [Test]
    public async Task BusyUserDoesNotDelayOthers()
    {
        // The first call for user 1 takes long, and 1,100 stand behind it.
        Sandbox.Script("""[{"own": true, "delay_ms": 60000}]""");
        using CommBoxClient client = Sandbox.Client();
        Task<UpdateResult>[] busy =
            [.. Enumerable.Range(0, 1100).Select(_ => client.UpdateUserJsonAsync(1, "{}"))];
        AwaitRequests(1);
        var watch = Stopwatch.StartNew();
        Assert.That((await client.UpdateUserJsonAsync(2, "{}")).Id, Is.EqualTo(2));
        Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(5)));
        Assert.That((client.PendingCount, busy.Count(call => call.IsCompleted)), Is.EqualTo((1100, 0)));
        client.Cancel();
        Assert.CatchAsync<OperationCanceledException>(() => Task.WhenAll(busy));
        Assert.That(client.PendingCount, Is.Zero);
    }

    [Test]
    public void CancelledPendingCallsLeaveNothingBehind([Values] bool oneUser)
    {
        const int many = 20_000;
        Sandbox.Script($"[{Slow}]");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 1 });
        Task<UpdateResult> first = client.UpdateUserJsonAsync(1, "{}");
        AwaitRequests(1);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        CallAndCancel();
        long left = GC.GetTotalMemory(forceFullCollection: true) - before;
        Assert.That(left, Is.LessThan(8_000_000));
        Assert.That(first.IsCompleted, Is.False);
        client.Cancel();
        Assert.CatchAsync<OperationCanceledException>(() => first);

        [MethodImpl(MethodImplOptions.NoInlining)]
        void CallAndCancel()
        {
            using var source = new CancellationTokenSource();
            string body = $$"""{"Remarks":"{{new string('x', 1000)}}"}""";
            Task<UpdateResult>[] calls =
            [
                .. Enumerable.Range(0, many).Select(call =>
                    client.UpdateUserJsonAsync(oneUser ? 1 : call + 2, body, source.Token)),
            ];
            source.Cancel();
            Assert.CatchAsync<OperationCanceledException>(() => Task.WhenAll(calls));
            Assert.That(client.PendingCount, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task OrderOfAUserIsKeptIfSomeCallsAreCancelled()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 500}]""");
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource();
        Task<UpdateResult>[] calls =
        [
            .. Enumerable.Range(0, 200).Select(call => client.UpdateUserJsonAsync(
                call % 2 + 1, $$"""{"Remarks":"{{call}}"}""", call % 3 == 1 ? source.Token : default)),
        ];
        source.Cancel();
        await Task.WhenAll(calls.Where((_, call) => call % 3 != 1));
        var sent = Sandbox.Requests().Select(request => (
            User: request.GetProperty("path").GetString()![^1] - '0',
            Body: request.GetProperty("body").GetString())).ToList();
        foreach (int user in new[] { 1, 2 })
        {
            // One that was under way when it was cancelled may have been sent.
            IEnumerable<string> expected = Enumerable.Range(0, 200)
                .Where(call => call % 2 + 1 == user && call % 3 != 1)
                .Select(call => $$$"""{"data":{"Remarks":"{{{call}}}"}}""");
            HashSet<string> wanted = [.. expected];
            Assert.That(
                sent.Where(request => request.User == user && wanted.Contains(request.Body!)).Select(request => request.Body),
                Is.EqualTo(expected));
        }
    }

    [Test]
    public async Task EveryCallEndsDespiteConcurrentCancellation()
    {
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 8 });
        using var source = new CancellationTokenSource();
        var calls = new ConcurrentBag<Task<UpdateResult>>();
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(number => new Thread(() =>
        {
            var random = new Random(number);
            for (int call = 0; call < 1000; call++)
            {
                var own = new CancellationTokenSource();
                CancellationToken token = call % 3 == 0 ? own.Token : call % 3 == 1 ? source.Token : default;
                // Few users, so that most calls stand behind others.
                calls.Add(client.UpdateUserJsonAsync(random.Next(1, 12), "{}", token));
                if (random.Next(4) == 0)
                {
                    own.Cancel();
                }
            }
        }))];
        foreach (Thread thread in threads)
        {
            thread.Start();
        }
        await Task.Delay(100);
        source.Cancel();
        foreach (Thread thread in threads)
        {
            thread.Join();
        }
        await client.FlushAsync().WaitAsync(TimeSpan.FromMinutes(2));
        Assert.That(client.PendingCount, Is.Zero);
        await Task.WhenAll(calls).ContinueWith(_ => { }, TaskScheduler.Default).WaitAsync(TimeSpan.FromSeconds(10));
        Assert.That(calls.Where(call => call.IsFaulted), Is.Empty);
        Assert.That(calls.Count(call => call.IsCompletedSuccessfully), Is.InRange(1, 3999));
        Assert.That((await client.UpdateUserJsonAsync(1, "{}")).Id, Is.EqualTo(1));
    }

    [Test]
    public async Task LibraryThreadsKeepNoExecutionContext()
    {
        using CommBoxClient client = Sandbox.Client();
        WeakReference held = await Call();
        for (int round = 0; round < 20 && held.IsAlive; round++)
        {
            // The thread lives for a second after the last call; these calls keep it alive.
            await client.UpdateUserJsonAsync(2, "{}");
            await Task.Delay(10);
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Assert.That(held.IsAlive, Is.False);

        [MethodImpl(MethodImplOptions.NoInlining)]
        async Task<WeakReference> Call()
        {
            var context = new AsyncLocal<object?> { Value = new byte[1000] };
            var reference = new WeakReference(context.Value);
            await client.UpdateUserJsonAsync(1, "{}");
            context.Value = null;
            return reference;
        }
    }

    [Test]
    public async Task ConnectionsAreReusedUpToTheLimit()
    {
        Sandbox.Script($"[{string.Join(',', Enumerable.Repeat("""{"own": true, "delay_ms": 500}""", 32))}]");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions
        {
            MaxIdleConnections = 4,
            IdleTimeout = TimeSpan.FromHours(1),
        });
        await Task.WhenAll(Enumerable.Range(1, 32).Select(id => client.UpdateUserJsonAsync(id, "{}")));
        Assert.That(() => client.GetStatistics().ConnectionsOpen, Is.LessThanOrEqualTo(4).After(5000, 100));
        long opened = client.GetStatistics().ConnectionsOpened;
        Assert.That((await client.UpdateUserJsonAsync(1, "{}")).Id, Is.EqualTo(1));
        Assert.That(client.GetStatistics().ConnectionsOpened, Is.EqualTo(opened));
    }

    [Test]
    public async Task ThreadsAndConnectionsEndAfterTheIdleTimeout()
    {
        Sandbox.Script($"[{string.Join(',', Enumerable.Repeat("""{"own": true, "delay_ms": 500}""", 32))}]");
        int before = Threads();
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { IdleTimeout = TimeSpan.FromSeconds(2) });
        await Task.WhenAll(Enumerable.Range(1, 32).Select(id => client.UpdateUserJsonAsync(id, "{}")));
        Assert.That(() => client.GetStatistics().ConnectionsOpen, Is.Zero.After(30_000, 100));
        if (OperatingSystem.IsLinux())
        {
            // Only Linux shows the names of threads in a file.
            Assert.That(() => Threads(), Is.LessThanOrEqualTo(before).After(30_000, 100));
        }
        Assert.That((await client.UpdateUserJsonAsync(1, "{}")).Id, Is.EqualTo(1));

        static int Threads() => Directory.GetDirectories("/proc/self/task").Count(task =>
        {
            try
            {
                string name = File.ReadAllText(Path.Combine(task, "comm"));
                return name.StartsWith("commbox", StringComparison.OrdinalIgnoreCase);
            }
            catch (IOException)
            {
                return false; // It has ended meanwhile.
            }
        });
    }

    [Test]
    public async Task CallWithoutAThreadSendsNothingAndReportsIt()
    {
        using var client = new ClientHandle(Sandbox.ApiKey, $$"""{"base_url":"{{Sandbox.Url}}"}""");
        bool fails = true;
        var queue = new UpdateQueue(
            () => new BatchHandle(client, "{}", CommBoxBatchOptions.PropertyFor), limit: 10)
        {
            StartThread = loop =>
            {
                if (fails)
                {
                    throw new OutOfMemoryException();
                }
                new Thread(loop) { IsBackground = true }.UnsafeStart();
            },
        };
        var error = Assert.ThrowsAsync<CommBoxException>(() => queue.SendAsync(1, [.. "{}\0"u8], null, default))!;
        Assert.That((error.Code, error.Name, error.Delivery),
            Is.EqualTo((-10, "internal", CommBoxDelivery.NotSent)));
        Assert.That(error.InnerException, Is.InstanceOf<OutOfMemoryException>());
        Assert.That(queue.Pending, Is.Zero);
        Assert.That(Sandbox.Requests(), Is.Empty);
        fails = false;
        Assert.That((await queue.SendAsync(1, [.. "{}\0"u8], null, default)).Code, Is.Zero);
        queue.End();
    }

    [Test]
    public async Task FlushWaitsForEarlierCalls()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 300}]""");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 1 });
        await client.FlushAsync();
        Task<UpdateResult>[] calls = [.. Enumerable.Range(1, 1100).Select(id => client.UpdateUserJsonAsync(id, "{}"))];
        Assert.That(client.PendingCount, Is.EqualTo(1100));
        Task flushed = client.FlushAsync();
        Assert.That(flushed.IsCompleted, Is.False);
        Assert.CatchAsync<OperationCanceledException>(() => client.FlushAsync(new CancellationToken(canceled: true)));
        await flushed;
        await Task.WhenAll(calls).WaitAsync(TimeSpan.FromSeconds(5));
        Assert.That(client.PendingCount, Is.Zero);
    }

    [Test]
    public async Task DisposeAsyncFinishesPendingCalls()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 300}]""");
        Task<UpdateResult>[] calls;
        await using (CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 4 }))
        {
            calls = [.. Enumerable.Range(1, 3000).Select(id => client.UpdateUserJsonAsync(id, "{}"))];
            ValueTask ending = client.DisposeAsync();
            Assert.ThrowsAsync<ObjectDisposedException>(() => client.UpdateUserJsonAsync(1, "{}"));
            Assert.That(ending.IsCompleted, Is.False);
            await ending;
        }
        await Task.WhenAll(calls).WaitAsync(TimeSpan.FromSeconds(5));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(3000));
    }

    [Test]
    public async Task CloseIsBoundedByItsTokenAndEveryCallEnds()
    {
        Sandbox.Script($"[{Slow}, {Slow}]");
        CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { MaxConcurrency = 2 });
        Task<UpdateResult>[] calls = [.. Enumerable.Range(1, 3000).Select(id => client.UpdateUserJsonAsync(id, "{}"))];
        AwaitRequests(2);
        var watch = Stopwatch.StartNew();
        using var source = new CancellationTokenSource(200);
        await client.CloseAsync(source.Token);
        Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(4)));
        foreach (Task<UpdateResult> call in calls)
        {
            Assert.CatchAsync<OperationCanceledException>(() => call);
        }
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(2));
        Assert.Throws<ObjectDisposedException>(() => client.UpdateUserJson(1, "{}"));
        await client.DisposeAsync();
    }

    [Test]
    public void OverallTimeoutBoundsThrottlingAndTheQueue()
    {
        Sandbox.Script("""[{"status": 429, "headers": {"Retry-After": "12"}}]""");
        var options = new CommBoxClientOptions { OverallTimeout = TimeSpan.FromSeconds(2) };
        using CommBoxClient client = Sandbox.Client(options);
        var watch = Stopwatch.StartNew();
        var first = Assert.CatchAsync<CommBoxException>(() => client.UpdateUserJsonAsync(1, "{}"))!;
        var second = Assert.CatchAsync<CommBoxException>(() => client.UpdateUserJsonAsync(2, "{}"))!;
        Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(9)));
        Assert.That(first.RetryAfter, Is.GreaterThan(TimeSpan.FromSeconds(8)));
        Assert.That((second.Code, second.Delivery), Is.EqualTo((-11, CommBoxDelivery.NotSent)));
    }
}
