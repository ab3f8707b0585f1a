namespace CommBox;

/// <summary>What to do with a field of a user that the API does not document.</summary>
public enum CommBoxUnknownFields
{
    /// <summary>Reject the update. Nothing is sent.</summary>
    Refuse = 0,

    /// <summary>Send the field.</summary>
    Allow = 1,
}

/// <summary>
/// The options of a <see cref="CommBoxClient"/>. Null is the default of the library. Values are
/// checked when a client is created. Times have a precision of 1 ms.
/// </summary>
public sealed class CommBoxClientOptions
{
    /// <summary>
    /// The key that CommBox issued, without the word "Bearer". An <c>apiKey</c> that is passed to
    /// the client takes precedence. The default is the environment variable <c>COMMBOX_API_KEY</c>.
    /// </summary>
    public string? ApiKey { get; set; }

    /// <summary>
    /// URL of the API; may have a path prefix; <c>http</c> only to loopback unless
    /// <see cref="AllowHttp"/>. The default is the environment variable <c>COMMBOX_BASE_URL</c>, or
    /// <c>https://api.commbox.io</c>.
    /// </summary>
    public string? BaseUrl { get; set; }

    /// <summary>
    /// Allow <c>http</c> to any host; the API key and the data are then sent unencrypted. The
    /// default is false.
    /// </summary>
    public bool AllowHttp { get; set; }

    /// <summary>
    /// Timeout of DNS lookup, connect, proxy and TLS handshake. The default is 5 s.
    /// </summary>
    public TimeSpan? ConnectTimeout { get; set; }

    /// <summary>Timeout of one attempt. The default is 15 s.</summary>
    public TimeSpan? AttemptTimeout { get; set; }

    /// <summary>
    /// Timeout of a call, which covers queueing, all attempts and all backoff. For an asynchronous
    /// call, and for one of many updates, time spent queued does not count. From 1 ms to 24 hours,
    /// which <see cref="System.Threading.Timeout.InfiniteTimeSpan"/> stands for. The default is 60
    /// s.
    /// </summary>
    public TimeSpan? Timeout { get; set; }

    /// <summary>
    /// Timeout of an asynchronous call from when it is made, whatever it waits for: other calls,
    /// throttling, an outage. A call that cannot meet it fails at once. The default is none.
    /// </summary>
    public TimeSpan? OverallTimeout { get; set; }

    /// <summary>
    /// Maximum number of retries after a transient failure: HTTP 500, 502, 503 and 504, a
    /// connection that fails or breaks, an attempt that exceeds its timeout. Sending the same
    /// values twice does no harm. A 429 does not count as a retry. The default is 3.
    /// </summary>
    public int? MaxRetries { get; set; }

    /// <summary>
    /// Bound of the first backoff. The bound doubles with each retry up to <see cref="RetryCap"/>,
    /// and each backoff is a random time below it. The server's <c>Retry-After</c> is a lower bound
    /// for the backoff; if it exceeds <see cref="Timeout"/>, the call fails at once. The default is
    /// 500 ms.
    /// </summary>
    public TimeSpan? RetryBase { get; set; }

    /// <summary>
    /// Bound of every backoff, at least <see cref="RetryBase"/>. The default is 8 s.
    /// </summary>
    public TimeSpan? RetryCap { get; set; }

    /// <summary>
    /// Rate limit of the client: the requests of all threads are evenly paced; 0.001 to 1,000,000,
    /// or 0 for no limit. The default is 0.
    /// </summary>
    public double? MaxRequestsPerSecond { get; set; }

    /// <summary>
    /// Send the calls for one user one at a time, in the order in which they were made; this
    /// includes direct calls, batches and retries. The default is true.
    /// </summary>
    public bool OrderPerUser { get; set; } = true;

    /// <summary>
    /// Name of a group: processes of the same system user on one machine that have the same group
    /// share one rate limit, and what they learned about the server's limit. 1 to 64 letters,
    /// digits, <c>.</c>, <c>_</c> or <c>-</c>, not starting with <c>.</c>; Unix only. The default
    /// is no group.
    /// </summary>
    public string? RateGroup { get; set; }

    /// <summary>
    /// Maximum number of idle connections in the pool: 0 to 1024. The default is 16.
    /// </summary>
    public int? MaxIdleConnections { get; set; }

    /// <summary>
    /// How long an idle connection is kept, checked by the next call. The default is 60 s.
    /// </summary>
    public TimeSpan? IdleTimeout { get; set; }

    /// <summary>How long the result of a DNS lookup is cached. The default is 60 s.</summary>
    public TimeSpan? DnsTtl { get; set; }

    /// <summary>
    /// URL of the proxy, <c>http://user:password@host:port</c>; "" for no proxy. The default is the
    /// environment variable <c>HTTPS_PROXY</c> or <c>ALL_PROXY</c>; for <c>http</c> it is
    /// <c>http_proxy</c> or <c>ALL_PROXY</c>, which without <see cref="AllowHttp"/> is used only if
    /// it is on loopback. Hosts in <c>NO_PROXY</c> are reached without a proxy.
    /// </summary>
    public string? Proxy { get; set; }

    /// <summary>
    /// PEM file of certificates to trust in addition to the system's trust store.
    /// </summary>
    public string? CaFile { get; set; }

    /// <summary>
    /// PEM file with the client certificate and its intermediate certificates, for servers and
    /// gateways that request one (mutual TLS).
    /// </summary>
    public string? ClientCertFile { get; set; }

    /// <summary>
    /// PEM file with the unencrypted private key of the client certificate. The default is
    /// <see cref="ClientCertFile"/>.
    /// </summary>
    public string? ClientKeyFile { get; set; }

    /// <summary>
    /// Maximum number of asynchronous calls in flight: 1 to 256. Each has a thread and a connection
    /// of the library, which are created as needed and end after <see cref="IdleTimeout"/> without
    /// work. Further calls are queued without a thread. The default is 64.
    /// </summary>
    public int? MaxConcurrency { get; set; }

    /// <summary>Check the user before it is sent. The default is true.</summary>
    public bool Validate { get; set; } = true;

    /// <summary>
    /// What to do with a field that the API does not document. The server drops such fields
    /// silently. The default is to reject the update.
    /// </summary>
    public CommBoxUnknownFields UnknownFields { get; set; }

    /// <summary>
    /// The "Unique Names" of the account's custom fields. Other names in
    /// <see cref="UserInfo.Content"/> are rejected. Null, the default, allows any name.
    /// </summary>
    public IReadOnlyCollection<string>? CustomFields { get; set; }

    /// <summary>
    /// Additional headers for every request, such as the key of a gateway; at most 32. Values are
    /// secrets: no message contains one. Headers that the library sets, such as
    /// <c>Authorization</c>, those of the connection, such as <c>Host</c>, and all <c>Content-…</c>
    /// and <c>Proxy-…</c> are rejected.
    /// </summary>
    public IDictionary<string, string> Headers { get; init; } =
        new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);

    /// <summary>
    /// Response header that contains the request id, for <see cref="UpdateResult.RequestId"/>.
    /// After it, <c>X-Request-Id</c>, <c>Request-Id</c> and <c>X-Correlation-Id</c> are read. The
    /// default is null.
    /// </summary>
    public string? RequestIdHeader { get; set; }

    /// <summary>
    /// Text that is appended to <c>commbox/&lt;version&gt;</c> in the <c>User-Agent</c> header.
    /// </summary>
    public string? UserAgent { get; set; }

    /// <summary>
    /// A callback for the events of the client: calls, retries, throttling, outages, connections.
    /// It runs on the thread where the event happens, for asynchronous calls a thread of the
    /// library, and may run on several threads at once. It delays that thread, so it should return
    /// quickly. It may use the client; the events of such calls are not reported. If it throws an
    /// exception, <see cref="System.Diagnostics.Trace"/> receives a warning. The default is none,
    /// which costs nothing.
    /// </summary>
    public Action<CommBoxLogEvent>? Log { get; set; }

    /// <summary>
    /// The level of <see cref="Log"/>: it receives the events of this level and those of the levels
    /// before it. The default is <see cref="CommBoxLogLevel.Information"/>.
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

    /// <summary>The default of <see cref="MaxConcurrency"/>.</summary>
    private const int DefaultMaxConcurrency = 64;

    /// <summary>
    /// Returns the options of asynchronous calls, which the library sends as a batch.
    /// </summary>
    internal CommBoxBatchOptions OfAsynchronousCalls() => new()
    {
        Concurrency = MaxConcurrency ?? DefaultMaxConcurrency,
        OverallTimeout = OverallTimeout,
        // A rejected key may be replaced, and later calls then succeed.
        StopOnUnauthorized = false,
    };

    /// <summary>Returns the property for an option of the library.</summary>
    internal static string PropertyFor(string option) => Table.PropertyFor(option);

    /// <summary>
    /// Returns the options as the library's JSON. <paramref name="baseUrl"/> is the default of
    /// <see cref="BaseUrl"/>.
    /// </summary>
    internal string ToJson(string? baseUrl)
    {
        var options = (CommBoxClientOptions)MemberwiseClone();
        options.BaseUrl ??= baseUrl;
        return Table.ToJson(options);
    }
}
