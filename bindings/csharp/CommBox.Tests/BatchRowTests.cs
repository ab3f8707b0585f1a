using System.Text.Json;
using static CommBox.Tests.BatchResults;

namespace CommBox.Tests;

/// <summary>Rows that are invalid or cannot be read, and the text of a row.</summary>
public sealed class BatchRowTests : SandboxFixture
{
    [Test]
    public async Task InvalidUpdateIsAResultAndTheOthersContinue()
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
        var progress = new ProgressRecorder();
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
    public async Task UnreadableRowIsAResultAndTheOthersContinue()
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
        var progress = new ProgressRecorder();
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
    public void TextOfAnUpdateContainsNoValue()
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
