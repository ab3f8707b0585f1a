using System.Diagnostics;
using System.Text.Json;

namespace CommBox.Tests;

/// <summary>Many updates at once.</summary>
public sealed class BatchTests : SandboxFixture
{
    private const string Slow = """{"delay_ms": 5000}""";

    [Test]
    public async Task EveryUpdateComesBackOnceAndUsersKeepTheirOrder()
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
    public async Task InvalidUpdateIsAResultAndTheOthersGoOn()
    {
        using CommBoxClient client = Sandbox.Client();
        UserUpdate[] updates =
        [
            new(0, "{}"),
            new(1, "{}"),
            new(2, new UserInfo { FirstName = new string('x', 101) }),
            new(3, "{}\0"),
            new(4, new UserInfo { Content = { ["Score"] = double.NaN } }),
            new(5, "{}"),
        ];
        var progress = new Recorder();
        Dictionary<long, CommBoxBatchResult> results =
            await Take(client.UpdateUsersAsync(updates, new CommBoxBatchOptions { Progress = progress }));
        Assert.That(Users(results.Values, succeeded: true), Is.EquivalentTo(new[] { 1, 5 }));
        Assert.That(new[] { 0, 2, 3, 4 }.Select(id => results[id].Error), Is.All.InstanceOf<CommBoxValidationException>());
        Assert.That(results[2].Error!.Message, Does.Contain("FirstName"));
        Assert.That(results[4].Error!.Message, Does.Contain("Content.Score"));
        Assert.That((progress.Told[^1].Succeeded, progress.Told[^1].Failed), Is.EqualTo((2, 4)));
        Assert.That(progress.Told[^1].FailedByCode, Is.EqualTo(new Dictionary<int, long> { [-1] = 2, [-4] = 2 }));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(2));
    }

    [Test]
    public async Task RowThatCannotBeReadIsAResultAndTheOthersGoOn()
    {
        JsonDocument document = JsonDocument.Parse("""{"a": 1}""");
        JsonElement gone = document.RootElement;
        document.Dispose();
        var thrown = new InvalidDataException("canary");
        UserUpdate[] updates =
        [
            new(1, "{}"),
            new(2, new UserInfo { Content = { ["Address"] = gone } }),
            null!,
            new(4, new UserInfo { Content = new Failing(() => new InvalidOperationException("canary")) }),
            new(5, new UserInfo { Content = new Failing(() => thrown) }),
            new(6, new UserInfo { Content = new ChangedMeanwhile() }),
            new(7, "{}"),
        ];
        using CommBoxClient client = Sandbox.Client();
        var progress = new Recorder();
        var results = new Dictionary<long, CommBoxBatchResult>();
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
            updates, new CommBoxBatchOptions { Progress = progress }))
        {
            results.Add(result.Index, result);
        }
        Assert.That(results.Keys, Is.EquivalentTo(Enumerable.Range(0, 7)));
        Assert.That(results.Where(each => each.Value.IsSuccess).Select(each => each.Key), Is.EquivalentTo(new[] { 0, 6 }));
        CommBoxException[] errors = [.. Enumerable.Range(1, 5).Select(index => results[index].Error!)];
        Assert.That(errors, Is.All.InstanceOf<CommBoxValidationException>());
        Assert.That(errors.Select(error => (error.Code, error.Delivery)),
            Is.All.EqualTo((-4, CommBoxDelivery.NotSent)));
        Assert.That(errors.Select(error => error.Message), Has.None.Contain("canary"));
        Assert.That(errors[0].Message, Does.Contain("Content.Address").And.Contain("Clone()"));
        Assert.That(errors[0].InnerException, Is.InstanceOf<ObjectDisposedException>());
        Assert.That(errors[1].Message, Is.EqualTo("row 2 of the source is null"));
        Assert.That(results[2].Update.UserId, Is.Zero);
        Assert.That(errors[2].InnerException, Is.InstanceOf<InvalidOperationException>());
        Assert.That(errors[3].InnerException, Is.SameAs(thrown));
        Assert.That(errors[4].InnerException, Is.InstanceOf<InvalidOperationException>());
        Assert.That(progress.Told[^1].FailedByCode, Is.EqualTo(new Dictionary<int, long> { [-4] = 5 }));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(2));
    }

    [Test]
    public void SourceThatFailsIsThrownAfterTheOutcomesOfWhatItGave()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 500}]""");
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
    public void TokenThatIsCancelledBeforeSendsNothing()
    {
        using CommBoxClient client = Sandbox.Client();
        var cancelled = new CancellationToken(canceled: true);
        var results = client.UpdateUsersAsync([new UserUpdate(1, "{}")], cancellationToken: cancelled);
        Assert.CatchAsync<OperationCanceledException>(() => Take(results));
        Assert.That(Sandbox.Requests(), Is.Empty);
    }

    [Test]
    public async Task RefusedKeyStopsTheBatch()
    {
        using CommBoxClient client = Sandbox.Client("another-key");
        int read = 0;
        var endless = Enumerable.Range(1, int.MaxValue).Select(id => new UserUpdate(read = id, "{}"));
        var progress = new Recorder();
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
    public async Task RefusedKeyStopsNothingWhereThatIsAskedFor()
    {
        using CommBoxClient client = Sandbox.Client("another-key");
        var updates = Enumerable.Range(1, 50).Select(id => new UserUpdate(id, "{}"));
        var results = await Take(client.UpdateUsersAsync(updates, new CommBoxBatchOptions { StopOnUnauthorized = false }));
        Assert.That(results.Values.Select(result => result.Error!.Code), Has.Exactly(50).EqualTo(401));
    }

    [Test]
    public async Task ProgressIsToldEverySecondAndAtTheEnd()
    {
        Sandbox.Script("""[{"own": true, "delay_ms": 1300}, {"status": 503}, {"own": true}, {"status": 404}]""");
        using CommBoxClient client = Sandbox.Client(new CommBoxClientOptions { RetryBase = TimeSpan.FromMilliseconds(1) });
        var progress = new Recorder();
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
    public void ProgressThatFailsIsThrown()
    {
        using CommBoxClient client = Sandbox.Client();
        var options = new CommBoxBatchOptions { Progress = new Recorder { Fails = true } };
        Assert.ThrowsAsync<InvalidDataException>(() => Take(client.UpdateUsersAsync([new UserUpdate(1, "{}")], options)));
    }

    [Test]
    public async Task CancelEndsWhatIsUnderWayAndTheOthersGoOn()
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
    public async Task NoUpdatesAreNoResults()
    {
        using CommBoxClient client = Sandbox.Client();
        Assert.That(await Take(client.UpdateUsersAsync([])), Is.Empty);
    }

    [Test]
    public void EveryProblemOfTheOptionsIsNamed()
    {
        using CommBoxClient client = Sandbox.Client();
        var options = new CommBoxBatchOptions { Concurrency = 0, QueueLimit = -1 };
        var error = Assert.ThrowsAsync<CommBoxValidationException>(() => Take(client.UpdateUsersAsync([], options)))!;
        Assert.That(
            error.Message, Is.EqualTo("QueueLimit must not be negative; Concurrency must be from 1 to 256"));
    }

    [Test]
    public void TextOfAnUpdateHoldsNoValue()
    {
        var update = new UserUpdate(7, """{"FirstName":"canary"}""") { Tag = "canary" };
        Assert.That($"{update}", Is.EqualTo("UserUpdate { UserId = 7 }"));
        var failed = new CommBoxBatchResult(
            update, Result: null, new CommBoxException("why", new InvalidDataException("canary"))) { Index = 3 };
        Assert.That(
            $"{failed}", Is.EqualTo("CommBoxBatchResult { Index = 3, UserId = 7, Error = CommBoxException: why }"));
        var result = new CommBoxBatchResult(update, new UpdateResult { Raw = "canary" }, Error: null);
        Assert.That($"{result}", Does.Not.Contain("canary"));
    }

    private static IEnumerable<long> Users(IEnumerable<CommBoxBatchResult> results, bool succeeded) =>
        results.Where(result => result.IsSuccess == succeeded).Select(result => result.Update.UserId);

    /// <summary>All results, by user; each user once.</summary>
    private static async Task<Dictionary<long, CommBoxBatchResult>> Take(IAsyncEnumerable<CommBoxBatchResult> results)
    {
        var taken = new Dictionary<long, CommBoxBatchResult>();
        await foreach (CommBoxBatchResult result in results)
        {
            taken.Add(result.Update.UserId, result);
        }
        return taken;
    }

    private sealed class Recorder : IProgress<CommBoxBatchStatistics>
    {
        internal List<CommBoxBatchStatistics> Told { get; } = [];

        internal bool Fails { get; init; }

        public void Report(CommBoxBatchStatistics value) => Told.Add(Fails ? throw new InvalidDataException() : value);
    }

    /// <summary>Custom fields that cannot be enumerated: the second step throws.</summary>
    private sealed class Failing(Func<Exception> failure) : Fields
    {
        public override IEnumerator<KeyValuePair<string, object?>> GetEnumerator()
        {
            yield return new("Score", 1);
            throw failure();
        }
    }

    /// <summary>Custom fields that another thread changes while they are read.</summary>
    private sealed class ChangedMeanwhile : Fields
    {
        private readonly Dictionary<string, object?> _fields = new() { ["a"] = 1, ["b"] = 2 };

        public override IEnumerator<KeyValuePair<string, object?>> GetEnumerator()
        {
            foreach (KeyValuePair<string, object?> field in _fields)
            {
                _fields["c"] = 3;
                yield return field;
            }
        }
    }

    /// <summary>A dictionary of which only the enumeration is used.</summary>
    private abstract class Fields : IDictionary<string, object?>
    {
        public int Count => 2;

        public bool IsReadOnly => true;

        public ICollection<string> Keys => throw new NotSupportedException();

        public ICollection<object?> Values => throw new NotSupportedException();

        public object? this[string key]
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public abstract IEnumerator<KeyValuePair<string, object?>> GetEnumerator();

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();

        public void Add(string key, object? value) => throw new NotSupportedException();

        public void Add(KeyValuePair<string, object?> item) => throw new NotSupportedException();

        public void Clear() => throw new NotSupportedException();

        public bool Contains(KeyValuePair<string, object?> item) => throw new NotSupportedException();

        public bool ContainsKey(string key) => throw new NotSupportedException();

        public void CopyTo(KeyValuePair<string, object?>[] array, int index) => throw new NotSupportedException();

        public bool Remove(string key) => throw new NotSupportedException();

        public bool Remove(KeyValuePair<string, object?> item) => throw new NotSupportedException();

        public bool TryGetValue(string key, out object? value) => throw new NotSupportedException();
    }
}
