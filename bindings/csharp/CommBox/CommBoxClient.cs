namespace CommBox;

/// <summary>
/// A client of CommBox: one API key, one set of options and a connection pool. Create one client
/// for a whole program, so that all threads share its connection pool and its rate limit. Its
/// methods may be called from any thread at any time.
/// </summary>
/// <remarks>
/// Everything in this package exists since version 1.0, unless it says otherwise.
/// </remarks>
/// <example><code>
/// using var client = new CommBoxClient("my-api-key");
/// UpdateResult result = client.UpdateUser(94382332, new UserInfo { FirstName = "John" });
/// </code></example>
public partial class CommBoxClient : ICommBoxClient, IDisposable, IAsyncDisposable
{
    private readonly ClientHandle _handle;

    /// <summary>The queue of the asynchronous calls.</summary>
    private readonly UpdateQueue _queue;

    /// <summary>
    /// Creates a client. It makes no connection and sends nothing before the first call.
    /// </summary>
    /// <param name="apiKey">
    /// The key that CommBox issued, without the word "Bearer". The default is
    /// <see cref="CommBoxClientOptions.ApiKey"/>, or else the environment variable
    /// <c>COMMBOX_API_KEY</c>.
    /// </param>
    /// <param name="options">
    /// Timeouts, proxy and other options; null for the defaults. Later changes to the object have
    /// no effect.
    /// </param>
    /// <exception cref="CommBoxValidationException">
    /// The key is missing, or the key or an option is invalid. The message contains all problems of
    /// the options.
    /// </exception>
    /// <exception cref="DllNotFoundException">
    /// The native library was not found. The message contains every path that was tried.
    /// </exception>
    public CommBoxClient(string? apiKey = null, CommBoxClientOptions? options = null)
    {
        // Not left to the library: on Unix it does not see variables that
        // Environment.SetEnvironmentVariable() has set.
        options ??= new CommBoxClientOptions();
        string keyName =
            apiKey is null && options.ApiKey is not null ? nameof(options.ApiKey) : nameof(apiKey);
        apiKey ??= options.ApiKey ?? Default("COMMBOX_API_KEY") ?? throw new CommBoxValidationException(
            "the API key is missing: pass apiKey, or set ApiKey in the options, or COMMBOX_API_KEY");
        _handle = ClientHandle.Make(apiKey, keyName, options, Default("COMMBOX_BASE_URL"));
        _queue = NewQueue(_handle, options);
    }

    /// <summary>
    /// Creates a client that cannot send, for test doubles that override the methods. It needs no
    /// native library.
    /// </summary>
    protected CommBoxClient()
    {
        _handle = new ClientHandle();
        _queue = NewQueue(_handle, new CommBoxClientOptions());
    }

    internal CommBoxClient(ClientHandle handle)
    {
        _handle = handle;
        _queue = NewQueue(handle, new CommBoxClientOptions());
    }

    private static UpdateQueue NewQueue(ClientHandle handle, CommBoxClientOptions client)
    {
        CommBoxBatchOptions options = client.OfAsynchronousCalls();
        string optionsJson = options.ToJson();
        var queue = new UpdateQueue(
            () => new BatchHandle(handle, optionsJson, CommBoxBatchOptions.PropertyFor),
            options.Room,
            limitPerUser: 16);
        handle.Queues.Add(queue);
        return queue;
    }

    private void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if (_handle.IsInvalid)
        {
            throw new NotImplementedException($"{GetType()} does not override this method of {nameof(CommBoxClient)}");
        }
    }

    private static string? Default(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
