using System.Collections.Concurrent;
using System.Diagnostics;

namespace CommBox.Tests;

/// <summary>
/// How an enumeration of many updates ends: at once, and with the right exception.
/// </summary>
public sealed class BatchEndTests : SandboxFixture
{
    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(5);

    [Test]
    public async Task LeavingDoesNotWaitForASourceThatWaits()
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
    public void CancellingDoesNotWaitForASourceThatBlocks()
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
    public void ProgressThatFailsEndsTheBatchAndEveryUpdateThatWasReadComesBack([Values] bool sourceBlocks)
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
    public void ProgressThatFailsReplacesNoOtherException([Values("body", "source", "token")] string which)
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
    public async Task OverallTimeoutCountsFromTheReading()
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
