using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace CommBox.Tests;

/// <summary>What meters see of the calls.</summary>
public sealed class MeterTests : SandboxFixture
{
    private readonly ConcurrentQueue<Measured> _measured = new();

    private MeterListener? _listener;

    private sealed record Measured(string Name, double Value, Dictionary<string, object?> Tags);

    [SetUp]
    public void Begin()
    {
        _measured.Clear();
        // Without a handler of their end, .NET 8 leaves the instruments enabled when the listener
        // is disposed.
        _listener = new MeterListener
        {
            MeasurementsCompleted = (_, _) => { },
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "CommBox")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        _listener.SetMeasurementEventCallback<long>(
            (instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>(
            (instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.Start();
    }

    [TearDown]
    public void End()
    {
        _listener?.Dispose();
        Assert.That(Telemetry.IsWanted, Is.False);
    }

    private void Add(
        Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        _measured.Enqueue(new(instrument.Name, value, new(tags.ToArray())));

    /// <summary>The sum of what a counter of this sandbox shows.</summary>
    private double Observed(string name)
    {
        _measured.Clear();
        _listener!.RecordObservableInstruments();
        int port = new Uri(Sandbox.Url).Port;
        return _measured.Where(each => each.Name == name && Equals(each.Tags["server.port"], port))
            .Sum(each => each.Value);
    }

    [Test]
    public async Task DurationsAndRetriesAreMeasuredInEveryForm()
    {
        const string Answers = """{"status": 503}, {"own": true}, {"status": 404}""";
        Sandbox.Script($"[{Answers}, {Answers}, {Answers}]");
        using CommBoxClient client = Sandbox.Client(
            new CommBoxClientOptions { RetryBase = TimeSpan.FromMilliseconds(1) });
        client.UpdateUserJson(1, "{}");
        Assert.Throws<CommBoxApiException>(() => client.UpdateUserJson(1, "{}"));
        await client.UpdateUserJsonAsync(1, "{}");
        Assert.ThrowsAsync<CommBoxApiException>(() => client.UpdateUserJsonAsync(1, "{}"));
        UserUpdate[] updates = [new(1, "{}"), new(1, "{}")];
        await foreach (CommBoxBatchResult _ in client.UpdateUsersAsync(updates))
        {
        }
        var durations = _measured.Where(each => each.Name == "commbox.client.update.duration")
            .ToArray();
        Assert.That(
            durations.Select(each => each.Tags["http.response.status_code"]),
            Is.EqualTo(new[] { 200, 404, 200, 404, 200, 404 }));
        Assert.That(durations.Select(each => each.Value), Is.All.InRange(0.0001, 60));
        Assert.That(
            durations.Select(each => each.Tags["commbox.delivery"]), Is.All.EqualTo("answered"));
        Assert.That(
            durations.Select(each => each.Tags["server.address"]),
            Is.All.EqualTo(new Uri(Sandbox.Url).Host));
        Assert.That(durations[0].Tags.ContainsKey("error.type"), Is.False);
        Assert.That(durations[1].Tags["error.type"], Is.EqualTo("404"));
        Assert.That(
            _measured.Where(each => each.Name == "commbox.client.retries").Sum(each => each.Value),
            Is.EqualTo(3));
    }

    [Test]
    public async Task CurrentStateIsObserved()
    {
        Sandbox.Script(4, """{"own": true, "delay_ms": 60000}""");
        using CommBoxClient client = Sandbox.Client(
            new CommBoxClientOptions { MaxConcurrency = 2 });
        Task[] calls =
            [.. Enumerable.Range(1, 1200).Select(id => client.UpdateUserJsonAsync(id, "{}"))];
        AwaitRequests(2);
        Assert.That(Observed("commbox.client.in_flight"), Is.EqualTo(2));
        Assert.That(Observed("commbox.client.queued"), Is.EqualTo(1198));
        client.Cancel();
        Assert.CatchAsync<OperationCanceledException>(() => Task.WhenAll(calls));
        Assert.That(() => Observed("commbox.client.in_flight"), Is.Zero.After(10_000, 20));
        Assert.That(Observed("commbox.client.queued"), Is.Zero);
        await client.CloseAsync();
    }

    [Test]
    public void ThrottledRequestsOfDisposedClientsAreCounted()
    {
        double before = Observed("commbox.client.throttled");
        for (int client = 0; client < 2; client++)
        {
            Sandbox.Script("""[{"status": 429, "headers": {"Retry-After": "0"}}]""");
            using CommBoxClient throttled = Sandbox.Client(new CommBoxClientOptions());
            throttled.UpdateUserJson(1, "{}");
            Assert.That(Observed("commbox.client.throttled") - before, Is.EqualTo(client + 1));
        }
        Assert.That(Observed("commbox.client.throttled") - before, Is.EqualTo(2));
    }
}
