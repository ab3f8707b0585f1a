namespace CommBox;

/// <summary>
/// Options of a single call, or of one of many updates, which replace those of the client. Null is
/// the option of the client. Values are checked when the call is made. Times have a precision of 1
/// ms.
/// </summary>
public sealed class CommBoxCallOptions
{
    /// <summary>
    /// Replaces <see cref="CommBoxClientOptions.Timeout"/>: 1 ms to 24 hours, which
    /// <see cref="System.Threading.Timeout.InfiniteTimeSpan"/> stands for.
    /// </summary>
    public TimeSpan? Timeout { get; set; }

    /// <summary>Replaces <see cref="CommBoxClientOptions.AttemptTimeout"/>.</summary>
    public TimeSpan? AttemptTimeout { get; set; }

    /// <summary>Replaces <see cref="CommBoxClientOptions.MaxRetries"/>: 0 to 100.</summary>
    public int? MaxRetries { get; set; }

    /// <summary>
    /// Additional headers for this call. Each replaces a header of
    /// <see cref="CommBoxClientOptions.Headers"/> with the same name. The same names are rejected
    /// as there. Values are secrets: no message contains one.
    /// </summary>
    public IDictionary<string, string> Headers
    {
        get => _headers ??= new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        init => _headers = value;
    }

    private IDictionary<string, string>? _headers;

    /// <summary>
    /// The JSON of these options if it was given; null to write it from the properties.
    /// </summary>
    private string? _json;

    private static readonly OptionTable<CommBoxCallOptions> Table = new(
        ("total_timeout_ms", nameof(Timeout), options => options.Timeout),
        ("attempt_timeout_ms", nameof(AttemptTimeout), options => options.AttemptTimeout),
        ("max_retries", nameof(MaxRetries), options => options.MaxRetries),
        ("headers", nameof(Headers), options => options.Headers));

    /// <summary>Returns the property for an option of the library.</summary>
    internal static string PropertyFor(string option) => Table.PropertyFor(option);

    /// <summary>Returns the same options with these headers instead.</summary>
    internal CommBoxCallOptions WithHeaders(IDictionary<string, string> headers)
    {
        var options = (CommBoxCallOptions)MemberwiseClone();
        options._headers = headers;
        return options;
    }

    /// <summary>
    /// Returns options with this header alone. Its name and value must need no escapes in JSON.
    /// </summary>
    internal static CommBoxCallOptions OfHeader(string name, string value) =>
        new() { _json = $"{{\"headers\":{{\"{name}\":\"{value}\"}}}}" };

    /// <summary>Returns the options as the library's JSON.</summary>
    internal string ToJson() => _json ?? Table.ToJson(this);
}
