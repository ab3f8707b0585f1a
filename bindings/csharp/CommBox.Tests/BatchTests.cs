using System.Text.Json;
using static CommBox.Tests.BatchResults;

namespace CommBox.Tests;

/// <summary>Many updates at once.</summary>
public sealed class BatchTests : SandboxFixture
{
    private const string Slow = """{"delay_ms": 5000}""";

    [Test]
    public async Task EveryUpdateHasOneResultAndUsersKeepTheirOrder()
    {
        using CommBoxClient client = Sandbox.Client();
        // Few users, so that most updates wait for the one before.
        IEnumerable<UserUpdate> updates = Enumerable.Range(0, 1000).Select(row =>
            new UserUpdate(row * 7919 % 40 + 1, new UserInfo { Remarks = $"{row}" }) { Tag = row });
        var rows = new List<int>();
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
            updates, new CommBoxBatchOptions { Concurrency = 16 }))
        {
            Assert.That(result.IsSuccess, result.Error?.Message);
            Assert.That(result.Result!.Id, Is.EqualTo(result.Update.UserId));
            rows.Add((int)result.Update.Tag!);
        }
        Assert.That(rows, Is.EquivalentTo(Enumerable.Range(0, 1000)));
        var sent = Sandbox.Requests().Select(request => (Path: request.GetProperty("path").GetString(), Row: Row(request)));
        foreach (var user in sent.GroupBy(request => request.Path))
        {
            Assert.That(user.Select(request => request.Row), Is.Ordered, user.Key);
        }

        static int Row(JsonElement request)
        {
            using JsonDocument body = JsonDocument.Parse(request.GetProperty("body").GetString()!);
            return int.Parse(body.RootElement.GetProperty("data").GetProperty("Remarks").GetString()!);
        }
    }

    [Test]
    public async Task SourceIsReadNoFurtherAheadThanAllowed()
    {
        using CommBoxClient client = Sandbox.Client();
        (int read, int taken) = (0, 0);
        var options = new CommBoxBatchOptions { Concurrency = 3, QueueLimit = 7 };
        await foreach (CommBoxBatchResult _ in client.UpdateUsersAsync(Source(), options))
        {
            if (taken % 50 == 0)
            {
                // Time enough to read everything.
                await Task.Delay(50);
            }
            Assert.That(Volatile.Read(ref read), Is.LessThanOrEqualTo(taken + 10));
            taken++;
        }
        Assert.That((read, taken), Is.EqualTo((200, 200)));

        async IAsyncEnumerable<UserUpdate> Source()
        {
            while (read < 200)
            {
                await Task.Yield();
                yield return new UserUpdate(Interlocked.Increment(ref read), "{}");
            }
        }
    }

    [Test]
    public async Task RejectedKeyStopsTheBatch()
    {
        using CommBoxClient client = Sandbox.Client("another-key");
        int read = 0;
        var endless = Enumerable.Range(1, int.MaxValue).Select(id => new UserUpdate(read = id, "{}"));
        var progress = new ProgressRecorder();
        var options = new CommBoxBatchOptions { Concurrency = 2, QueueLimit = 20, Progress = progress };
        Dictionary<long, CommBoxBatchResult> results = await Take(client.UpdateUsersAsync(endless, options));
        Assert.That(progress.Told[^1].Failed, Is.EqualTo(read));
        Assert.That(results.Keys, Is.EquivalentTo(Enumerable.Range(1, read).Select(id => (long)id)));
        int refused = results.Values.Count(result => result.Error!.Code == 401);
        Assert.That(refused, Is.InRange(1, 4));
        Assert.That(results.Values.Count(result => result.Error!.Code == -8), Is.EqualTo(read - refused));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(refused));
    }

    [Test]
    public async Task RejectedKeyStopsNothingIfConfigured()
    {
        using CommBoxClient client = Sandbox.Client("another-key");
        var updates = Enumerable.Range(1, 50).Select(id => new UserUpdate(id, "{}"));
        var results = await Take(client.UpdateUsersAsync(updates, new CommBoxBatchOptions { StopOnUnauthorized = false }));
        Assert.That(results.Values.Select(result => result.Error!.Code), Has.Exactly(50).EqualTo(401));
    }

    [Test]
    public async Task ProgressIsReportedEverySecondAndAtTheEnd()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 1300}, {"status": 503}, {"own": true}, {"status": 404}]""");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { RetryBase = TimeSpan.FromMilliseconds(1) });
        var progress = new ProgressRecorder();
        var updates = Enumerable.Range(1, 20).Select(id => new UserUpdate(id, "{}"));
        await Take(client.UpdateUsersAsync(updates, new CommBoxBatchOptions { Concurrency = 1, Progress = progress }));
        // More where the machine is slow.
        Assert.That(progress.Told, Has.Count.GreaterThanOrEqualTo(2));
        Assert.That((progress.Told[0].InFlight, progress.Told[0].Queued), Is.EqualTo((1, 19)));
        CommBoxBatchStatistics last = progress.Told[^1];
        Assert.That((last.Queued, last.InFlight, last.Succeeded, last.Failed), Is.EqualTo((0, 0, 19, 1)));
        Assert.That(last.FailedByCode, Is.EqualTo(new Dictionary<int, long> { [404] = 1 }));
        Assert.That(last.Retried, Is.EqualTo(1));
        Assert.That(last.AverageRequestsPerSecond, Is.InRange(0.2, 21 / 1.3));
        Assert.That(last.Elapsed, Is.InRange(TimeSpan.FromSeconds(1.3), TimeSpan.FromMinutes(2)));
    }

    [Test]
    public void ProgressExceptionIsThrown()
    {
        using CommBoxClient client = Sandbox.Client();
        var options = new CommBoxBatchOptions { Progress = new ProgressRecorder { Fails = true } };
        Assert.ThrowsAsync<InvalidDataException>(() => Take(client.UpdateUsersAsync([new UserUpdate(1, "{}")], options)));
    }

    [Test]
    public async Task CancelEndsUpdatesInFlightAndTheOthersContinue()
    {
        Sandbox.Script($"[{Slow}, {Slow}]");
        using CommBoxClient client = Sandbox.Client();
        var updates = Enumerable.Range(1, 20).Select(id => new UserUpdate(id, "{}"));
        Task<Dictionary<long, CommBoxBatchResult>> results =
            Take(client.UpdateUsersAsync(updates, new CommBoxBatchOptions { Concurrency = 2 }));
        AwaitRequests(2);
        client.Cancel();
        Assert.That(Users((await results).Values, succeeded: false), Is.EquivalentTo(new[] { 1, 2 }));
        foreach (int user in new[] { 1, 2 })
        {
            CommBoxException error = (await results)[user].Error!;
            Assert.That((error.Code, error.Delivery), Is.EqualTo((-8, CommBoxDelivery.Unknown)));
        }
    }

    [Test]
    public async Task DisposedClientLetsABatchFinishAndStartsNone()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 500}]""");
        CommBoxClient client = Sandbox.Client();
        IAsyncEnumerable<CommBoxBatchResult> late = client.UpdateUsersAsync([new UserUpdate(1, "{}")]);
        var updates = Enumerable.Range(1, 20).Select(id => new UserUpdate(id, "{}"));
        var results = Take(client.UpdateUsersAsync(updates, new CommBoxBatchOptions { Concurrency = 1, QueueLimit = 2 }));
        AwaitRequests(1);
        client.Dispose();
        Assert.That((await results).Values.Count(result => result.IsSuccess), Is.EqualTo(20));
        var error = Assert.ThrowsAsync<ObjectDisposedException>(() => Take(late))!;
        Assert.That(error.ObjectName, Is.EqualTo(typeof(CommBoxClient).FullName));
        Assert.Throws<ObjectDisposedException>(() => client.UpdateUsersAsync([]));
    }

    [Test]
    public async Task NoUpdatesGiveNoResults()
    {
        using CommBoxClient client = Sandbox.Client();
        Assert.That(await Take(client.UpdateUsersAsync([])), Is.Empty);
    }

    [Test]
    public void EveryProblemOfTheOptionsIsReported()
    {
        using CommBoxClient client = Sandbox.Client();
        var options = new CommBoxBatchOptions { Concurrency = 0, QueueLimit = -1 };
        var error = Assert.ThrowsAsync<CommBoxValidationException>(() => Take(client.UpdateUsersAsync([], options)))!;
        Assert.That(
            error.Message, Is.EqualTo("QueueLimit must not be negative; Concurrency must be from 1 to 256"));
    }
}
