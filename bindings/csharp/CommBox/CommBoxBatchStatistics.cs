using System.Text.Json;

namespace CommBox;

/// <summary>The progress of many updates: see <see cref="CommBoxBatchOptions.Progress"/>.</summary>
public sealed record CommBoxBatchStatistics
{
    /// <summary>Pending updates.</summary>
    public long Queued { get; init; }

    /// <summary>Updates in flight.</summary>
    public long InFlight { get; init; }

    /// <summary>Updates that the server confirmed.</summary>
    public long Succeeded { get; init; }

    /// <summary>Failed updates, including cancelled ones.</summary>
    public long Failed { get; init; }

    /// <summary>
    /// The number of failed updates for each <see cref="CommBoxException.Code"/>.
    /// </summary>
    public IReadOnlyDictionary<int, long> FailedByCode { get; init; } = new Dictionary<int, long>();

    /// <summary>Attempts beyond the first of an update.</summary>
    public long Retried { get; init; }

    /// <summary>Attempts that the server answered with 429.</summary>
    public long Throttled { get; init; }

    /// <summary>Requests per second, over the last second.</summary>
    public double RequestsPerSecond { get; init; }

    /// <summary>Requests per second, since the first update.</summary>
    public double AverageRequestsPerSecond { get; init; }

    /// <summary>
    /// The rate limit that the client learned from 429s, in requests per second; null before the
    /// first one.
    /// </summary>
    public double? LearnedRequestsPerSecond { get; init; }

    /// <summary>Time since the first update.</summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>Returns a text with all figures.</summary>
    /// <returns>A text for logs.</returns>
    public override string ToString() => LogText.Of(
        nameof(CommBoxBatchStatistics),
        (nameof(Queued), Queued),
        (nameof(InFlight), InFlight),
        (nameof(Succeeded), Succeeded),
        (nameof(Failed), Failed),
        (nameof(FailedByCode), LogText.OfCodes(FailedByCode)),
        (nameof(Retried), Retried),
        (nameof(Throttled), Throttled),
        (nameof(RequestsPerSecond), RequestsPerSecond),
        (nameof(AverageRequestsPerSecond), AverageRequestsPerSecond),
        (nameof(LearnedRequestsPerSecond), LearnedRequestsPerSecond),
        (nameof(Elapsed), Elapsed));

    /// <summary>Returns these statistics with further failures added.</summary>
    internal CommBoxBatchStatistics Plus(IEnumerable<KeyValuePair<int, long>> failed)
    {
        Dictionary<int, long> byCode = FailedByCode.Concat(failed)
            .GroupBy(code => code.Key, code => code.Value)
            .ToDictionary(code => code.Key, counts => counts.Sum());
        return this with { Failed = byCode.Values.Sum(), FailedByCode = byCode };
    }

    internal static CommBoxBatchStatistics Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        JsonElement stats = document.RootElement;
        return new CommBoxBatchStatistics
        {
            Queued = stats.GetProperty("queued").GetInt64(),
            InFlight = stats.GetProperty("in_flight").GetInt64(),
            Succeeded = stats.GetProperty("succeeded").GetInt64(),
            Failed = stats.GetProperty("failed").GetInt64(),
            FailedByCode = CommBoxStatistics.Codes(stats.GetProperty("failed_by_code")),
            Retried = stats.GetProperty("retried").GetInt64(),
            Throttled = stats.GetProperty("throttled").GetInt64(),
            RequestsPerSecond = stats.GetProperty("requests_per_second").GetDouble(),
            AverageRequestsPerSecond = stats.GetProperty("average_requests_per_second").GetDouble(),
            LearnedRequestsPerSecond = stats.GetProperty("learned_requests_per_second") is
                { ValueKind: JsonValueKind.Number } learned ? learned.GetDouble() : null,
            Elapsed = new TimeSpan(stats.GetProperty("elapsed_ms").GetInt64() * TimeSpan.TicksPerMillisecond),
        };
    }
}
