using System.Globalization;
using System.Text.Json;

namespace CommBox;

/// <summary>
/// The statistics of a client, counted since it was created: see
/// <see cref="CommBoxClient.GetStatistics"/>.
/// </summary>
public sealed record CommBoxStatistics
{
    /// <summary>
    /// Calls that were made, including dispatched updates of <c>UpdateUsersAsync</c>.
    /// </summary>
    public long Calls { get; init; }

    /// <summary>Calls whose update the server confirmed.</summary>
    public long Succeeded { get; init; }

    /// <summary>Calls that failed, including cancelled ones.</summary>
    public long Failed { get; init; }

    /// <summary>The number of failed calls for each <see cref="CommBoxException.Code"/>.</summary>
    public IReadOnlyDictionary<int, long> FailedByCode { get; init; } = new Dictionary<int, long>();

    /// <summary>Requests.</summary>
    public long Attempts { get; init; }

    /// <summary>Requests beyond the first of a call.</summary>
    public long Retried { get; init; }

    /// <summary>Requests that the server answered with 429.</summary>
    public long Throttled { get; init; }

    /// <summary>Requests that the server answered with another status from 400 to 499.</summary>
    public long Refused { get; init; }

    /// <summary>Calls that are queued or in backoff now.</summary>
    public long Waiting { get; init; }

    /// <summary>Requests that are being sent or answered now.</summary>
    public long InFlight { get; init; }

    /// <summary>Connections that are open now.</summary>
    public long ConnectionsOpen { get; init; }

    /// <summary>All connections that were opened.</summary>
    public long ConnectionsOpened { get; init; }

    /// <summary>
    /// Whether requests are paused now: <c>open</c> if they are not, otherwise <c>throttled</c> or
    /// <c>outage</c>.
    /// </summary>
    public string State { get; init; } = "open";

    /// <summary>The present rate limit, in requests per second; null if there is none.</summary>
    public double? RequestsPerSecond { get; init; }

    /// <summary>
    /// The rate limit that the client learned from 429s; null before the first one.
    /// </summary>
    public double? LearnedRequestsPerSecond { get; init; }

    /// <summary>Time until the next probe request; null unless requests are paused.</summary>
    public TimeSpan? ProbeIn { get; init; }

    /// <summary>The latencies of recent calls.</summary>
    public CommBoxLatency Latency { get; init; } = new();

    /// <summary>Returns a text with all figures.</summary>
    /// <returns>A text for logs.</returns>
    public override string ToString() => LogText.Of(
        nameof(CommBoxStatistics),
        (nameof(Calls), Calls),
        (nameof(Succeeded), Succeeded),
        (nameof(Failed), Failed),
        (nameof(FailedByCode), LogText.OfCodes(FailedByCode)),
        (nameof(Attempts), Attempts),
        (nameof(Retried), Retried),
        (nameof(Throttled), Throttled),
        (nameof(Refused), Refused),
        (nameof(Waiting), Waiting),
        (nameof(InFlight), InFlight),
        (nameof(ConnectionsOpen), ConnectionsOpen),
        (nameof(ConnectionsOpened), ConnectionsOpened),
        (nameof(State), State),
        (nameof(RequestsPerSecond), RequestsPerSecond),
        (nameof(LearnedRequestsPerSecond), LearnedRequestsPerSecond),
        (nameof(ProbeIn), ProbeIn),
        (nameof(Latency), Latency));

    internal static CommBoxStatistics Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        JsonElement stats = document.RootElement;
        JsonElement line = stats.GetProperty("line");
        return new CommBoxStatistics
        {
            Calls = stats.GetProperty("calls").GetInt64(),
            Succeeded = stats.GetProperty("succeeded").GetInt64(),
            Failed = stats.GetProperty("failed").GetInt64(),
            FailedByCode = Codes(stats.GetProperty("failed_by_code")),
            Attempts = stats.GetProperty("attempts").GetInt64(),
            Retried = stats.GetProperty("retried").GetInt64(),
            Throttled = stats.GetProperty("throttled").GetInt64(),
            Refused = stats.GetProperty("refused").GetInt64(),
            Waiting = stats.GetProperty("waiting").GetInt64(),
            InFlight = stats.GetProperty("in_flight").GetInt64(),
            ConnectionsOpen = stats.GetProperty("connections_open").GetInt64(),
            ConnectionsOpened = stats.GetProperty("connections_opened").GetInt64(),
            State = line.GetProperty("state").GetString() ?? "",
            RequestsPerSecond = Number(line.GetProperty("requests_per_second")),
            LearnedRequestsPerSecond = Number(line.GetProperty("learned_requests_per_second")),
            ProbeIn = Milliseconds(line.GetProperty("probe_in_ms")),
            Latency = CommBoxLatency.Parse(stats.GetProperty("latency")),
        };
    }

    /// <summary>Returns the number of failures for each code.</summary>
    internal static Dictionary<int, long> Codes(JsonElement byCode) => byCode.EnumerateObject().ToDictionary(
        member => int.Parse(member.Name, CultureInfo.InvariantCulture), member => member.Value.GetInt64());

    internal static TimeSpan? Milliseconds(JsonElement value) =>
        Number(value) is { } time ? TimeSpan.FromMilliseconds(time) : null;

    private static double? Number(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;
}

/// <summary>
/// The latencies of the calls that ended within the last 60 to 70 seconds and made a request. The
/// percentiles are accurate to within one eighth, and null if there are no such calls.
/// </summary>
public sealed record CommBoxLatency
{
    /// <summary>The number of calls.</summary>
    public long Count { get; init; }

    /// <summary>The sum of their latencies.</summary>
    public TimeSpan Sum { get; init; }

    /// <summary>The median.</summary>
    public TimeSpan? P50 { get; init; }

    /// <summary>The 90th percentile.</summary>
    public TimeSpan? P90 { get; init; }

    /// <summary>The 99th percentile.</summary>
    public TimeSpan? P99 { get; init; }

    /// <summary>Returns a text with all figures.</summary>
    /// <returns>A text for logs.</returns>
    public override string ToString() => LogText.Of(
        nameof(CommBoxLatency),
        (nameof(Count), Count),
        (nameof(Sum), Sum),
        (nameof(P50), P50),
        (nameof(P90), P90),
        (nameof(P99), P99));

    internal static CommBoxLatency Parse(JsonElement latency) => new()
    {
        Count = latency.GetProperty("count").GetInt64(),
        Sum = CommBoxStatistics.Milliseconds(latency.GetProperty("sum_ms")) ?? TimeSpan.Zero,
        P50 = CommBoxStatistics.Milliseconds(latency.GetProperty("p50_ms")),
        P90 = CommBoxStatistics.Milliseconds(latency.GetProperty("p90_ms")),
        P99 = CommBoxStatistics.Milliseconds(latency.GetProperty("p99_ms")),
    };
}
