namespace CommBox;

/// <summary>What is done with a field of a user that the API does not document.</summary>
public enum CommBoxUnknownFields
{
    /// <summary>It is refused, and nothing is sent.</summary>
    Refuse = 0,

    /// <summary>It is sent.</summary>
    Allow = 1,
}

/// <summary>
/// What a <see cref="CommBoxClient"/> can be told. Null keeps the library's default. Values are
/// checked where a client is made; times count in whole milliseconds.
/// </summary>
public sealed class CommBoxClientOptions
{
    /// <summary>
    /// The key that CommBox issued, without the word "Bearer"; an <c>apiKey</c> that is passed to the
    /// client goes first. Default: the environment's <c>COMMBOX_API_KEY</c>.
    /// </summary>
    public string? ApiKey { get; set; }

    /// <summary>
    /// Where the API is, with a path prefix where it has one. Default: the environment's
    /// <c>COMMBOX_BASE_URL</c>, else <c>https://api.commbox.io</c>. <c>http</c> only to loopback,
    /// unless <see cref="AllowHttp"/>.
    /// </summary>
    public string? BaseUrl { get; set; }

    /// <summary>
    /// Allow <c>http</c> to any host: key and data then travel in the clear. Default: false.
    /// </summary>
    public bool AllowHttp { get; set; }

    /// <summary>
    /// Longest time of DNS lookup, connect, proxy and TLS handshake of one attempt. Default: 5 s.
    /// </summary>
    public TimeSpan? ConnectTimeout { get; set; }

    /// <summary>Longest time of one attempt. Default: 15 s.</summary>
    public TimeSpan? AttemptTimeout { get; set; }

    /// <summary>
    /// Longest time of a call, all included: waiting for its turn, every attempt and every wait
    /// between. Of an asynchronous call, and of one of many updates, waiting for its turn does not
    /// count. From 1 ms to 24 hours, which <see cref="System.Threading.Timeout.InfiniteTimeSpan"/>
    /// stands for. Default: 60 s.
    /// </summary>
    public TimeSpan? Timeout { get; set; }

    /// <summary>
    /// Longest time of an asynchronous call from when it is made, whatever it waits for: other
    /// calls, throttling, an outage. A call that cannot meet it fails at once. Default: none.
    /// </summary>
    public TimeSpan? OverallTimeout { get; set; }

    /// <summary>
    /// Maximum number of retries after a transient failure: HTTP 500, 502, 503 and 504, a
    /// connection that fails or breaks, an attempt that takes too long. Sending the same values
    /// twice does no harm. A 429 costs no retry. Default: 3.
    /// </summary>
    public int? MaxRetries { get; set; }

    /// <summary>
    /// The backoff before a retry is random, below a bound that doubles from this one to
    /// <see cref="RetryCap"/>. A <c>Retry-After</c> of the server is its lower bound; if that
    /// exceeds <see cref="Timeout"/>, the call fails at once. Default: 500 ms.
    /// </summary>
    public TimeSpan? RetryBase { get; set; }

    /// <summary>
    /// The largest bound of a wait; at least <see cref="RetryBase"/>. Default: 8 s.
    /// </summary>
    public TimeSpan? RetryCap { get; set; }

    /// <summary>
    /// Requests a second over all threads of the client, evenly spaced; fractions allowed. 0 is no
    /// limit, the default.
    /// </summary>
    public double? MaxRequestsPerSecond { get; set; }

    /// <summary>
    /// Calls for one user leave one at a time, in the order in which they were made, over direct
    /// calls and batches, retries included. Default: true.
    /// </summary>
    public bool OrderPerUser { get; set; } = true;

    /// <summary>
    /// The name of a group: the processes of one system user on one machine that name the same
    /// group share one rate limit and what they have learned of it. 1 to 64 letters, digits,
    /// <c>.</c>, <c>_</c> and <c>-</c>; Unix only. Default: none.
    /// </summary>
    public string? RateGroup { get; set; }

    /// <summary>Connections kept open between calls. Default: 16.</summary>
    public int? MaxIdleConnections { get; set; }

    /// <summary>
    /// How long an unused connection is kept; the next call closes what is older. Default: 60 s.
    /// </summary>
    public TimeSpan? IdleTimeout { get; set; }

    /// <summary>How long a DNS lookup is remembered. Default: 60 s.</summary>
    public TimeSpan? DnsTtl { get; set; }

    /// <summary>
    /// The URL of an HTTP proxy, <c>http://user:password@host:port</c>; "" for none. Default: the
    /// environment's <c>HTTPS_PROXY</c> or <c>ALL_PROXY</c>; for a base URL of http
    /// <c>http_proxy</c> or <c>ALL_PROXY</c>, and without <see cref="AllowHttp"/> only one on
    /// loopback; none for the hosts in <c>NO_PROXY</c>.
    /// </summary>
    public string? Proxy { get; set; }

    /// <summary>A PEM file of certificates to trust beside the system's.</summary>
    public string? CaFile { get; set; }

    /// <summary>
    /// A PEM file with the certificate for servers and gateways that ask for one (mutual TLS), and
    /// the certificates between it and its authority.
    /// </summary>
    public string? ClientCertFile { get; set; }

    /// <summary>
    /// A PEM file with the key of <see cref="ClientCertFile"/>, not encrypted. Default: it is in
    /// that file.
    /// </summary>
    public string? ClientKeyFile { get; set; }

    /// <summary>
    /// How many asynchronous calls are in flight at a time, each on a thread and a connection of
    /// the library, which come as they are needed; 1 to 256. Further calls wait without a thread.
    /// Default: 64.
    /// </summary>
    public int? MaxConcurrency { get; set; }

    /// <summary>Check the user before it is sent. Default: true.</summary>
    public bool Validate { get; set; } = true;

    /// <summary>
    /// What is done with a field that the API does not document, and drops without a word. Default:
    /// it is refused.
    /// </summary>
    public CommBoxUnknownFields UnknownFields { get; set; }

    /// <summary>
    /// The "Unique Names" of the account's custom fields: those in <see cref="UserInfo.Content"/>
    /// must be among them. Null, the default, allows any.
    /// </summary>
    public IReadOnlyCollection<string>? CustomFields { get; set; }

    /// <summary>
    /// Headers to send with every request, such as the key of a gateway; at most 32. Values are
    /// secrets: no message contains one. Refused are those that the library sets, such as
    /// <c>Authorization</c>, those of the connection, such as <c>Host</c>, and all <c>Content-…</c>
    /// and <c>Proxy-…</c>.
    /// </summary>
    public IDictionary<string, string> Headers { get; init; } =
        new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);

    /// <summary>
    /// The header of the server's answers that is <see cref="UpdateResult.RequestId"/>. Default:
    /// the first of <c>X-Request-Id</c>, <c>Request-Id</c> and <c>X-Correlation-Id</c> that is
    /// there.
    /// </summary>
    public string? RequestIdHeader { get; set; }

    /// <summary>
    /// Appended to <c>commbox/&lt;version&gt;</c> in the <c>User-Agent</c> header.
    /// </summary>
    public string? UserAgent { get; set; }

    /// <summary>
    /// Receives what the client does, as it happens: calls, retries and why, throttling, outages,
    /// connections. It is invoked on the thread where it happens, one of the library's in
    /// asynchronous calls, by several at once, and holds up what that thread does: it should return
    /// soon. It may use the client; what that does is not logged. An exception that it throws is a
    /// warning of <see cref="System.Diagnostics.Trace"/>. Default: none, which costs nothing.
    /// </summary>
    public Action<CommBoxLogEvent>? Log { get; set; }

    /// <summary>
    /// The least important events that <see cref="Log"/> receives. Default: retries and the like.
    /// </summary>
    public CommBoxLogLevel LogLevel { get; set; } = CommBoxLogLevel.Information;

    private static readonly OptionTable<CommBoxClientOptions> Table = new(
        ("base_url", nameof(BaseUrl), options => options.BaseUrl),
        ("allow_http", nameof(AllowHttp), options => options.AllowHttp),
        ("connect_timeout_ms", nameof(ConnectTimeout), options => options.ConnectTimeout),
        ("attempt_timeout_ms", nameof(AttemptTimeout), options => options.AttemptTimeout),
        ("total_timeout_ms", nameof(Timeout), options => options.Timeout),
        ("max_retries", nameof(MaxRetries), options => options.MaxRetries),
        ("retry_base_ms", nameof(RetryBase), options => options.RetryBase),
        ("retry_cap_ms", nameof(RetryCap), options => options.RetryCap),
        ("max_requests_per_second", nameof(MaxRequestsPerSecond), options => options.MaxRequestsPerSecond),
        ("order_per_user", nameof(OrderPerUser), options => options.OrderPerUser),
        ("rate_group", nameof(RateGroup), options => options.RateGroup),
        ("max_idle_connections", nameof(MaxIdleConnections), options => options.MaxIdleConnections),
        ("idle_timeout_ms", nameof(IdleTimeout), options => options.IdleTimeout),
        ("dns_ttl_ms", nameof(DnsTtl), options => options.DnsTtl),
        ("proxy", nameof(Proxy), options => options.Proxy),
        ("ca_file", nameof(CaFile), options => options.CaFile),
        ("client_cert_file", nameof(ClientCertFile), options => options.ClientCertFile),
        ("client_key_file", nameof(ClientKeyFile), options => options.ClientKeyFile),
        ("validate", nameof(Validate), options => options.Validate),
        ("unknown_fields", nameof(UnknownFields), options => options.UnknownFields),
        ("custom_fields", nameof(CustomFields), options => options.CustomFields),
        ("user_agent", nameof(UserAgent), options => options.UserAgent),
        ("headers", nameof(Headers), options => options.Headers),
        ("request_id_header", nameof(RequestIdHeader), options => options.RequestIdHeader));

    /// <summary>
    /// How many asynchronous calls are in flight at a time where no number is set.
    /// </summary>
    private const int DefaultMaxConcurrency = 64;

    /// <summary>The options of asynchronous calls, which the library makes as a batch.</summary>
    internal CommBoxBatchOptions OfAsynchronousCalls() => new()
    {
        Concurrency = MaxConcurrency ?? DefaultMaxConcurrency,
        OverallTimeout = OverallTimeout,
        // A key that is refused may be replaced, and the calls after that work.
        StopOnUnauthorized = false,
    };

    /// <summary>The property for an option of the library.</summary>
    internal static string PropertyFor(string option) => Table.PropertyFor(option);

    /// <summary>
    /// The options as the library reads them; <paramref name="baseUrl"/> serves where none is set.
    /// </summary>
    internal string ToJson(string? baseUrl)
    {
        var options = (CommBoxClientOptions)MemberwiseClone();
        options.BaseUrl ??= baseUrl;
        return Table.ToJson(options);
    }
}
