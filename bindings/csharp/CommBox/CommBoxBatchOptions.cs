namespace CommBox;

/// <summary>
/// What
/// <see cref="CommBoxClient.UpdateUsersAsync(IAsyncEnumerable{UserUpdate}, CommBoxBatchOptions, CancellationToken)"/>
/// can be told. Null keeps the default. Values are checked where the enumeration starts.
/// </summary>
public sealed class CommBoxBatchOptions
{
    private const int DefaultConcurrency = 8;
    private const int DefaultQueueLimit = 1024;

    /// <summary>
    /// How many updates are in flight at a time, each on a thread and a connection of the library;
    /// 1 to 256. Default: 8.
    /// </summary>
    public int? Concurrency { get; set; }

    /// <summary>
    /// How many updates are read ahead of the results that were taken, besides those in flight;
    /// from 1, and with <see cref="Concurrency"/> to 1,000,000. Default: 1024.
    /// </summary>
    public int? QueueLimit { get; set; }

    /// <summary>
    /// At the first 401, read and send no more: what was read and not sent comes back as cancelled
    /// (code -8), and the results end. Default: true.
    /// </summary>
    public bool StopOnUnauthorized { get; set; } = true;

    /// <summary>
    /// How long an update waits while the server throttles without accepting one request. Default:
    /// 15 minutes.
    /// </summary>
    public TimeSpan? ThrottleTimeout { get; set; }

    /// <summary>How long an update waits through an outage. Default: 10 minutes.</summary>
    public TimeSpan? OutageTimeout { get; set; }

    /// <summary>
    /// Longest time of an update from when it was read, whatever it waits for: other updates,
    /// throttling, an outage. An update that cannot meet it fails at once. Default: none.
    /// </summary>
    public TimeSpan? OverallTimeout { get; set; }

    /// <summary>Told where the batch stands, about once a second and at the end.</summary>
    public IProgress<CommBoxBatchStatistics>? Progress { get; set; }

    /// <summary>
    /// How many updates are in memory at most. A limit that is none is left for the library to
    /// name.
    /// </summary>
    internal int Room
    {
        get
        {
            long limit = QueueLimit ?? DefaultQueueLimit;
            long inFlight = limit > 0 ? Concurrency ?? DefaultConcurrency : 0;
            return (int)Math.Min(limit + inFlight, int.MaxValue);
        }
    }

    private static readonly OptionTable<CommBoxBatchOptions> Table = new(
        ("concurrency", nameof(Concurrency), options => options.Concurrency),
        ("queue_limit", nameof(QueueLimit), options => options.Room),
        ("stop_on_unauthorized", nameof(StopOnUnauthorized), options => options.StopOnUnauthorized),
        ("throttle_timeout_ms", nameof(ThrottleTimeout), options => options.ThrottleTimeout),
        ("outage_timeout_ms", nameof(OutageTimeout), options => options.OutageTimeout),
        ("overall_timeout_ms", nameof(OverallTimeout), options => options.OverallTimeout));

    /// <summary>The property for an option of the library.</summary>
    internal static string PropertyFor(string option) => Table.PropertyFor(option);

    /// <summary>The options as the library takes them.</summary>
    internal string ToJson() => Table.ToJson(this);
}
