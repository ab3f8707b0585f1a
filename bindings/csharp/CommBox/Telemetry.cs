using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace CommBox;

/// <summary>
/// The <see cref="ActivitySource"/> and the <see cref="Meter"/> named "CommBox". Without a listener
/// they cost a call a few comparisons and no memory. The names of tags are OpenTelemetry's for HTTP
/// clients. No tag contains the API key, a user's id or a value of a user.
/// </summary>
internal static class Telemetry
{
    internal const string Name = "CommBox";

    private static readonly string? Version =
        typeof(Telemetry).Assembly.GetName().Version?.ToString(fieldCount: 3);

    private static readonly ActivitySource Source = new(Name, Version);
    private static readonly Meter Meter = NewMeter();

    private static readonly Histogram<double> Duration = Meter.CreateHistogram<double>(
        "commbox.client.update.duration",
        "s",
        "How long an update took, from the call to its outcome.");

    private static readonly Counter<long> Retries = Meter.CreateCounter<long>(
        "commbox.client.retries", "{request}", "Requests beyond the first of an update.");

    private static readonly ObservableCounter<long> Throttled = Meter.CreateObservableCounter(
        "commbox.client.throttled",
        ThrottledByServer,
        "{request}",
        "Requests that the server answered with 429.");

    private static readonly ObservableUpDownCounter<long> InFlight =
        Meter.CreateObservableUpDownCounter(
        "commbox.client.in_flight",
        () => ByServer(client => client.ReadStatistics()?.InFlight),
        "{request}",
        "Requests that are being sent or answered.");

    private static readonly ObservableUpDownCounter<long> Queued =
        Meter.CreateObservableUpDownCounter(
        "commbox.client.queued",
        () => ByServer(client => client.CountQueued()),
        "{update}",
        "Updates that are queued or wait for a retry.");

    /// <summary>The clients that the observable meters read.</summary>
    private static readonly WeakList<ClientHandle> Clients = new();

    /// <summary>
    /// The number of 429s of each server, including those of collected clients.
    /// </summary>
    private static readonly Dictionary<ServerName, long> ThrottledBefore = [];

    /// <summary>
    /// Whether a listener observes calls, or the program has a current activity to propagate.
    /// </summary>
    internal static bool IsWanted =>
        Source.HasListeners()
        || Duration.Enabled
        || Retries.Enabled
        || Activity.Current is not null;

    internal static void Add(ClientHandle client) => Clients.Add(client);

    /// <summary>
    /// Adds the 429s of a client since the last count. A client is also counted when it is
    /// released, so that the total never falls.
    /// </summary>
    internal static void CountThrottled(ClientHandle client, long throttled)
    {
        lock (ThrottledBefore)
        {
            ThrottledBefore.TryGetValue(client.Server, out long before);
            long more = Math.Max(0, throttled - client.ThrottledBefore);
            ThrottledBefore[client.Server] = before + more;
            client.ThrottledBefore += more;
        }
    }

    internal static bool CountsThrottled => Throttled.Enabled;

    /// <summary>Starts an activity, which is current until it ends.</summary>
    internal static ObservedCall Begin(ClientHandle client) =>
        new(client.Server, Source.StartActivity(ObservedCall.OperationName, ActivityKind.Client));

    /// <summary>
    /// Starts an activity without making it current, since it ends elsewhere, on another thread.
    /// </summary>
    internal static ObservedCall BeginDetached(ClientHandle client)
    {
        ObservedCall? call = null;
        Isolate(() => call = Begin(client));
        return call!;
    }

    /// <summary>
    /// Runs an action without changing the caller's current activity. The activity could not be
    /// restored afterwards: <see cref="Activity.Current"/> rejects an activity that has been
    /// stopped.
    /// </summary>
    internal static void Isolate(Action action)
    {
        if (ExecutionContext.Capture() is { } context)
        {
            ExecutionContext.Run(context, static action => ((Action)action!)(), action);
        }
        else
        {
            action();
        }
    }

    internal static void Record(TimeSpan duration, in TagList tags, int retries, in TagList server)
    {
        Duration.Record(duration.TotalSeconds, tags);
        if (retries > 0)
        {
            Retries.Add(retries, server);
        }
    }

    /// <summary>
    /// Creates the meter. .NET keeps its callbacks alive until the meter is disposed, and with them
    /// the AssemblyLoadContext of a plug-in.
    /// </summary>
    private static Meter NewMeter()
    {
        var meter = new Meter(Name, Version);
        LoadContext.WhenUnloaded(() =>
        {
            meter.Dispose();
            Source.Dispose();
        });
        return meter;
    }

    private static IEnumerable<Measurement<long>> ThrottledByServer()
    {
        foreach (ClientHandle client in Clients.Alive())
        {
            if (client.ReadStatistics() is { } statistics)
            {
                CountThrottled(client, statistics.Throttled);
            }
        }
        lock (ThrottledBefore)
        {
            return Measurements(ThrottledBefore);
        }
    }

    private static List<Measurement<long>> ByServer(Func<ClientHandle, long?> count)
    {
        Dictionary<ServerName, long> counts = [];
        foreach (ClientHandle client in Clients.Alive())
        {
            if (count(client) is { } value)
            {
                counts.TryGetValue(client.Server, out long others);
                counts[client.Server] = others + value;
            }
        }
        return Measurements(counts);
    }

    private static List<Measurement<long>> Measurements(Dictionary<ServerName, long> counts)
    {
        List<Measurement<long>> measurements = [];
        foreach ((ServerName server, long count) in counts)
        {
            measurements.Add(
                new(count, new("server.address", server.Address), new("server.port", server.Port)));
        }
        return measurements;
    }
}

/// <summary>The host and the port of a base URL.</summary>
internal readonly record struct ServerName(string Address, int Port)
{
    /// <summary>The library's default.</summary>
    private const string Default = "https://api.commbox.io";

    internal static ServerName Of(string? baseUrl) =>
        Uri.TryCreate(baseUrl ?? Default, UriKind.Absolute, out Uri? url)
            ? new(url.Host, url.Port)
            : default;
}

/// <summary>A list of weak references.</summary>
internal sealed class WeakList<T> where T : class
{
    private readonly List<WeakReference<T>> _items = [];

    internal void Add(T item)
    {
        lock (_items)
        {
            _items.RemoveAll(gone => !gone.TryGetTarget(out _));
            _items.Add(new(item));
        }
    }

    /// <summary>Returns the items that have not been collected.</summary>
    internal List<T> Alive()
    {
        List<T> alive = [];
        lock (_items)
        {
            foreach (WeakReference<T> item in _items)
            {
                if (item.TryGetTarget(out T? target))
                {
                    alive.Add(target);
                }
            }
        }
        return alive;
    }
}
