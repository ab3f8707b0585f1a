namespace CommBox;

/// <summary>
/// The options of
/// <see cref="CommBoxClient.UpdateUsersAsync(IAsyncEnumerable{UserUpdate}, CommBoxBatchOptions, CancellationToken)"/>.
/// Null is the default of the library. Values are checked when the enumeration starts.
/// </summary>
public sealed class CommBoxBatchOptions
{
    private const int DefaultConcurrency = 8;
    private const int DefaultQueueLimit = 1024;

    /// <summary>
    /// Maximum number of updates in flight, each with a thread and a connection of the library: 1
    /// to 256. The default is 8.
    /// </summary>
    public int? Concurrency { get; set; }

    /// <summary>
    /// Maximum number of updates that were read and whose results are uncollected, in addition to
    /// those in flight: 1 or more, and together with <see cref="Concurrency"/> at most 1,000,000.
    /// The default is 1024.
    /// </summary>
    public int? QueueLimit { get; set; }

    /// <summary>
    /// At the first 401, read and send no more updates. Those that were read but not sent are
    /// returned as cancelled (code -8), and the results end. The default is true.
    /// </summary>
    public bool StopOnUnauthorized { get; set; } = true;

    /// <summary>
    /// How long an update waits while the server throttles without accepting a request. The default
    /// is 15 minutes.
    /// </summary>
    public TimeSpan? ThrottleTimeout { get; set; }

    /// <summary>How long an update waits during an outage. The default is 10 minutes.</summary>
    public TimeSpan? OutageTimeout { get; set; }

    /// <summary>
    /// Timeout of an update from when it is read, whatever it waits for: other updates, throttling,
    /// an outage. An update that cannot meet it fails at once. The default is none.
    /// </summary>
    public TimeSpan? OverallTimeout { get; set; }

    /// <summary>Receives the progress, about once a second and at the end.</summary>
    public IProgress<CommBoxBatchStatistics>? Progress { get; set; }

    /// <summary>
    /// The maximum number of updates in memory. An out-of-range limit is left for the library to
    /// report.
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

    /// <summary>Returns the property for an option of the library.</summary>
    internal static string PropertyFor(string option) => Table.PropertyFor(option);

    /// <summary>Returns the options as the library's JSON.</summary>
    internal string ToJson() => Table.ToJson(this);
}
