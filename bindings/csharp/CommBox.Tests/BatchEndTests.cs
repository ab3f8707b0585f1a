using System.Collections.Concurrent;
using System.Diagnostics;
using static CommBox.Tests.BatchResults;

namespace CommBox.Tests;

/// <summary>
/// How an enumeration of many updates ends: at once, and with the right exception.
/// </summary>
public sealed class BatchEndTests : SandboxFixture
{
    private const string Slow = """{"delay_ms": 5000}""";

    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(5);

    [Test]
    public void SourceExceptionIsThrownAfterTheResultsOfItsUpdates()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 3000}]""");
        using CommBoxClient client = Sandbox.Client();
        var results = new List<CommBoxBatchResult>();
        var error = Assert.ThrowsAsync<InvalidDataException>(async () =>
        {
            await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
                Source(), new CommBoxBatchOptions { Concurrency = 1 }))
            {
                results.Add(result);
            }
        })!;
        Assert.That(error.Message, Is.EqualTo("row 6"));
        Assert.That(Users(results, succeeded: true), Is.EqualTo(new[] { 1 }));
        Assert.That(Users(results, succeeded: false), Is.EquivalentTo(new[] { 2, 3, 4, 5 }));
        Assert.That(results.Where(result => !result.IsSuccess).Select(result => result.Error!.Code), Is.All.EqualTo(-8));

        IEnumerable<UserUpdate> Source()
        {
            for (int id = 1; id <= 5; id++)
            {
                yield return new UserUpdate(id, "{}");
            }
            AwaitRequests(1);
            throw new InvalidDataException("row 6");
        }
    }

    [Test]
    public async Task LeavingEndsTheBatchAtOnce()
    {
        Sandbox.Script($$"""[{"own": true}, {{Slow}}, {{Slow}}, {{Slow}}]""");
        using CommBoxClient client = Sandbox.Client();
        bool sourceEnded = false;
        var watch = new Stopwatch();
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
                Source(), new CommBoxBatchOptions { Concurrency = 2 }))
        {
            Assert.That(result.IsSuccess);
            AwaitRequests(3);
            watch.Start();
            break;
        }
        Assert.That(watch.ElapsedMilliseconds, Is.LessThan(4500));
        Assert.That(() => sourceEnded, Is.True.After(5000, 10));
        await Task.Delay(200);
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(3));

        IEnumerable<UserUpdate> Source()
        {
            try
            {
                for (int id = 1; true; id++)
                {
                    yield return new UserUpdate(id, "{}");
                }
            }
            finally
            {
                sourceEnded = true;
            }
        }
    }

    [Test]
    public void TokenEndsTheEnumeration([Values] bool throughTheEnumerator, [Values] bool whileTheSourceWaits)
    {
        Sandbox.Script($"[{Slow}]");
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource();
        IAsyncEnumerable<CommBoxBatchResult> results = throughTheEnumerator
            ? client.UpdateUsersAsync(Source())
            : client.UpdateUsersAsync(Source(), cancellationToken: source.Token);
        var watch = new Stopwatch();
        var error = Assert.CatchAsync<OperationCanceledException>(async () =>
        {
            await using var enumerator = results.GetAsyncEnumerator(throughTheEnumerator ? source.Token : default);
            ValueTask<bool> next = enumerator.MoveNextAsync();
            AwaitRequests(1);
            watch.Start();
            source.Cancel();
            await next;
        })!;
        Assert.That(watch.ElapsedMilliseconds, Is.LessThan(4500));
        Assert.That(error.CancellationToken, Is.EqualTo(source.Token));

        async IAsyncEnumerable<UserUpdate> Source(
            [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            yield return new UserUpdate(1, "{}");
            if (whileTheSourceWaits)
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }
        }
    }

    [Test]
    public void AlreadyCancelledTokenSendsNothing()
    {
        using CommBoxClient client = Sandbox.Client();
        var cancelled = new CancellationToken(canceled: true);
        var results = client.UpdateUsersAsync([new UserUpdate(1, "{}")], cancellationToken: cancelled);
        Assert.CatchAsync<OperationCanceledException>(() => Take(results));
        Assert.That(Sandbox.Requests(), Is.Empty);
    }

    [Test]
    public async Task LeavingDoesNotWaitForAWaitingSource()
    {
        using CommBoxClient client = Sandbox.Client();
        using var given = new SemaphoreSlim(0);
        var ended = new TaskCompletionSource();
        var watch = new Stopwatch();
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(Source()))
        {
            Assert.That(result.IsSuccess, result.Error?.Message);
            watch.Start();
            break;
        }
        Assert.That(watch.Elapsed, Is.LessThan(AtOnce));
        Assert.That(ended.Task.IsCompleted, Is.False);
        // What it gives then is not sent, and it is disposed.
        given.Release();
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(1));

        async IAsyncEnumerable<UserUpdate> Source()
        {
            try
            {
                yield return new UserUpdate(1, "{}");
                // It heeds no token.
                await given.WaitAsync();
                yield return new UserUpdate(2, "{}");
            }
            finally
            {
                ended.TrySetResult();
            }
        }
    }

    [Test]
    public void CancellingDoesNotWaitForABlockingSource()
    {
        using CommBoxClient client = Sandbox.Client();
        using var rows = new BlockingCollection<UserUpdate> { new(1, "{}") };
        using var source = new CancellationTokenSource();
        var watch = new Stopwatch();
        var error = Assert.CatchAsync<OperationCanceledException>(async () =>
        {
            await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
                rows.GetConsumingEnumerable(), cancellationToken: source.Token))
            {
                watch.Start();
                source.Cancel();
            }
        })!;
        Assert.That(watch.Elapsed, Is.LessThan(AtOnce));
        Assert.That(error.CancellationToken, Is.EqualTo(source.Token));
        rows.CompleteAdding();
    }

    [Test]
    public void ProgressExceptionEndsTheBatchAfterTheResultsOfAllUpdatesRead([Values] bool sourceBlocks)
    {
        using CommBoxClient client = Sandbox.Client();
        using var blocks = new ManualResetEventSlim();
        (int read, int taken) = (0, 0);
        var failing = new Handler(stats => throw new InvalidDataException("progress"));
        var watch = Stopwatch.StartNew();
        var error = Assert.ThrowsAsync<InvalidDataException>(async () =>
        {
            var options = new CommBoxBatchOptions { Progress = failing, Concurrency = 2, QueueLimit = 50 };
            await foreach (CommBoxBatchResult _ in client.UpdateUsersAsync(Source(), options))
            {
                taken++;
                await Task.Delay(1);
            }
        })!;
        blocks.Set();
        Assert.That(error.Message, Is.EqualTo("progress"));
        Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(20)));
        Assert.That(taken, Is.EqualTo(Volatile.Read(ref read)).Or.EqualTo(Volatile.Read(ref read) - 1));

        IEnumerable<UserUpdate> Source()
        {
            for (int id = 1; true; id++)
            {
                Volatile.Write(ref read, id);
                yield return new UserUpdate(id, "{}");
                if (sourceBlocks && id == 20)
                {
                    blocks.Wait();
                    yield break;
                }
            }
        }
    }

    [Test]
    public void ProgressExceptionReplacesNoOtherException([Values("body", "source", "token")] string which)
    {
        using CommBoxClient client = Sandbox.Client();
        using var source = new CancellationTokenSource();
        var failing = new Handler(stats => throw new InvalidDataException("progress"));
        Exception error = Assert.CatchAsync(async () =>
        {
            await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
                Source(), new CommBoxBatchOptions { Progress = failing }, source.Token))
            {
                switch (which)
                {
                    case "body":
                        throw new TimeZoneNotFoundException("body");
                    case "token":
                        source.Cancel();
                        break;
                }
            }
        })!;
        Assert.That(error, which == "token"
            ? Is.InstanceOf<OperationCanceledException>()
            : Is.InstanceOf<TimeZoneNotFoundException>().And.Message.EqualTo(which));

        IEnumerable<UserUpdate> Source()
        {
            for (int id = 1; id <= 100; id++)
            {
                yield return new UserUpdate(id, "{}");
            }
            if (which == "source")
            {
                throw new TimeZoneNotFoundException("source");
            }
        }
    }

    [Test]
    public async Task OverallTimeoutStartsWhenAnUpdateIsRead()
    {
        Sandbox.Script("""[{"status": 429, "headers": {"Retry-After": "20"}}]""");
        using CommBoxClient client = Sandbox.Client();
        UserUpdate[] updates = [new(1, "{}"), new(2, "{}")];
        var options = new CommBoxBatchOptions { Concurrency = 1, OverallTimeout = TimeSpan.FromSeconds(2) };
        var watch = Stopwatch.StartNew();
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(updates, options))
        {
            Assert.That(result.Error, Is.InstanceOf<CommBoxException>());
        }
        Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(12)));
    }

    private sealed class Handler(Action<CommBoxBatchStatistics> report) : IProgress<CommBoxBatchStatistics>
    {
        public void Report(CommBoxBatchStatistics value) => report(value);
    }
}
