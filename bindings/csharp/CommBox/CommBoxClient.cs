using System.Runtime.CompilerServices;
using System.Text.Json;

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

    /// <summary>
    /// Updates one user, and returns the server's reply. Blocks for at most
    /// <see cref="CommBoxClientOptions.Timeout"/>. Transient failures are retried: see
    /// <see cref="CommBoxClientOptions.MaxRetries"/>.
    /// </summary>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="user">The changes. Only properties that are set are sent.</param>
    /// <param name="options">Options for this call; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Cancels this call, and no other, within about 100 ms.
    /// </param>
    /// <returns>The server's reply.</returns>
    /// <exception cref="CommBoxException">
    /// The update was not confirmed. The subclass is the kind of failure, and
    /// <see cref="CommBoxException.Delivery"/> shows whether the server may have processed the
    /// update.
    /// </exception>
    /// <exception cref="OperationCanceledException">
    /// The token was cancelled, and is the exception's; or <see cref="Cancel"/> was called. The
    /// inner exception is a <see cref="CommBoxException"/>, whose
    /// <see cref="CommBoxException.Delivery"/> shows whether the server may have processed the
    /// update. It is null if the call was cancelled before it began: nothing was sent.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual UpdateResult UpdateUser(
        long userId,
        UserInfo user,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(user);
        if (GetType() != typeof(CommBoxClient))
        {
            // A test double overrides only that overload.
            return UpdateUserJson(userId, user.ToJson(), options, cancellationToken);
        }
        return Send(userId, user, static user => user.ToNative(), options, cancellationToken);
    }

    /// <inheritdoc cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    public virtual UpdateResult UpdateUser(
        long userId, UserInfo user, CancellationToken cancellationToken = default) =>
        UpdateUser(userId, user, options: null, cancellationToken);

    /// <summary>
    /// Updates one user from an element of a JSON document, which is sent as it was parsed, like
    /// <see cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>.
    /// </summary>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="user">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    /// <param name="options">Options for this call; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Cancels this call, and no other, within about 100 ms.
    /// </param>
    /// <inheritdoc cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    public virtual UpdateResult UpdateUser(
        long userId,
        JsonElement user,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default)
    {
        if (GetType() == typeof(CommBoxClient))
        {
            return Send(
                userId, user, static user => JsonText.ToNative(user, nameof(user)), options, cancellationToken);
        }
        return UpdateUserJson(userId, JsonText.Of(user, nameof(user)), options, cancellationToken);
    }

    /// <inheritdoc cref="UpdateUser(long, JsonElement, CommBoxCallOptions, CancellationToken)"/>
    public virtual UpdateResult UpdateUser(
        long userId, JsonElement user, CancellationToken cancellationToken = default) =>
        UpdateUser(userId, user, options: null, cancellationToken);

    /// <summary>
    /// Updates one user from JSON, which is sent as it is written, like
    /// <see cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>.
    /// </summary>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="userJson">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    /// <param name="options">Options for this call; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Cancels this call, and no other, within about 100 ms.
    /// </param>
    /// <returns>
    /// The server's reply; <see cref="UpdateResult.Raw"/> is its text as it was received.
    /// </returns>
    /// <inheritdoc cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    public virtual UpdateResult UpdateUserJson(
        long userId,
        string userJson,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(userJson);
        return Send(
            userId,
            userJson,
            static userJson => Utf8.ToNative(userJson, nameof(userJson)),
            options,
            cancellationToken);
    }

    /// <inheritdoc cref="UpdateUserJson(long, string, CommBoxCallOptions, CancellationToken)"/>
    public virtual UpdateResult UpdateUserJson(
        long userId, string userJson, CancellationToken cancellationToken = default) =>
        UpdateUserJson(userId, userJson, options: null, cancellationToken);

    /// <summary>
    /// Updates one user from JSON in UTF-8, which is sent as it is written, like
    /// <see cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>.
    /// </summary>
    /// <inheritdoc cref="UpdateUserJson(long, string, CommBoxCallOptions, CancellationToken)"/>
    public virtual UpdateResult UpdateUserJson(
        long userId,
        ReadOnlySpan<byte> userJson,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default)
    {
        if (GetType() != typeof(CommBoxClient))
        {
            return UpdateUserJson(
                userId, Utf8.Decode(userJson, nameof(userJson)), options, cancellationToken);
        }
        ThrowIfUnusable();
        cancellationToken.ThrowIfCancellationRequested();
        using NativeText text = Utf8.ToNative(userJson, nameof(userJson));
        return _handle.UpdateUser(userId, text, options?.ToJson(), cancellationToken);
    }

    /// <inheritdoc cref="UpdateUserJson(long, ReadOnlySpan{byte}, CommBoxCallOptions, CancellationToken)"/>
    public virtual UpdateResult UpdateUserJson(
        long userId, ReadOnlySpan<byte> userJson, CancellationToken cancellationToken = default) =>
        UpdateUserJson(userId, userJson, options: null, cancellationToken);

    /// <summary>
    /// Updates one user without blocking a thread. Updates of one user are sent one at a time, in
    /// the order of the calls.
    /// </summary>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="user">
    /// The changes. Only properties that are set are sent. They are read before this method
    /// returns.
    /// </param>
    /// <param name="options">Options for this call; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Cancels this call, and no other, within about 100 ms.
    /// </param>
    /// <remarks>
    /// At most <see cref="CommBoxClientOptions.MaxConcurrency"/> calls are in flight.
    /// <see cref="CommBoxClientOptions.Timeout"/> starts when the update is dispatched: time spent
    /// queued or rate limited by the server does not count.
    /// <see cref="CommBoxClientOptions.OverallTimeout"/> or the token limits the whole call.
    /// </remarks>
    /// <inheritdoc cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    public virtual Task<UpdateResult> UpdateUserAsync(
        long userId,
        UserInfo user,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(user);
        return GetType() == typeof(CommBoxClient)
            ? SendAsync(userId, user, static user => user.ToTerminated(), options, cancellationToken)
            : UpdateUserJsonAsync(userId, user.ToJson(), options, cancellationToken);
    }

    /// <inheritdoc cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    public virtual Task<UpdateResult> UpdateUserAsync(
        long userId, UserInfo user, CancellationToken cancellationToken = default) =>
        UpdateUserAsync(userId, user, options: null, cancellationToken);

    /// <summary>
    /// Updates one user from an element of a JSON document, which is sent as it was parsed, without
    /// blocking a thread, like
    /// <see cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>.
    /// </summary>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="user">
    /// The user's fields, or the whole body: <c>{"data": {…}}</c>. It is read before this method
    /// returns.
    /// </param>
    /// <param name="options">Options for this call; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Cancels this call, and no other, within about 100 ms.
    /// </param>
    /// <inheritdoc cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    public virtual Task<UpdateResult> UpdateUserAsync(
        long userId,
        JsonElement user,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default)
    {
        if (GetType() == typeof(CommBoxClient))
        {
            return SendAsync(
                userId, user, static user => JsonText.ToTerminated(user, nameof(user)), options, cancellationToken);
        }
        return UpdateUserJsonAsync(userId, JsonText.Of(user, nameof(user)), options, cancellationToken);
    }

    /// <inheritdoc cref="UpdateUserAsync(long, JsonElement, CommBoxCallOptions, CancellationToken)"/>
    public virtual Task<UpdateResult> UpdateUserAsync(
        long userId, JsonElement user, CancellationToken cancellationToken = default) =>
        UpdateUserAsync(userId, user, options: null, cancellationToken);

    /// <summary>
    /// Updates one user from JSON, which is sent as it is written, without blocking a thread, like
    /// <see cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>.
    /// </summary>
    /// <inheritdoc cref="UpdateUserJson(long, string, CommBoxCallOptions, CancellationToken)" path="/param"/>
    /// <inheritdoc cref="UpdateUserJson(long, string, CommBoxCallOptions, CancellationToken)" path="/returns"/>
    /// <inheritdoc cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)" path="/remarks"/>
    /// <inheritdoc cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)" path="/exception"/>
    public virtual Task<UpdateResult> UpdateUserJsonAsync(
        long userId,
        string userJson,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(userJson);
        return SendAsync(
            userId, userJson, static userJson => Utf8.Terminate(userJson, nameof(userJson)), options, cancellationToken);
    }

    /// <inheritdoc cref="UpdateUserJsonAsync(long, string, CommBoxCallOptions, CancellationToken)"/>
    public virtual Task<UpdateResult> UpdateUserJsonAsync(
        long userId, string userJson, CancellationToken cancellationToken = default) =>
        UpdateUserJsonAsync(userId, userJson, options: null, cancellationToken);

    /// <summary>
    /// Updates one user from JSON in UTF-8, which is sent as it is written and is read before this
    /// method returns, without blocking a thread, like
    /// <see cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>.
    /// </summary>
    /// <inheritdoc cref="UpdateUserJsonAsync(long, string, CommBoxCallOptions, CancellationToken)"/>
    public virtual Task<UpdateResult> UpdateUserJsonAsync(
        long userId,
        ReadOnlySpan<byte> userJson,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default)
    {
        if (GetType() != typeof(CommBoxClient))
        {
            return UpdateUserJsonAsync(
                userId, Utf8.Decode(userJson, nameof(userJson)), options, cancellationToken);
        }
        byte[] text = userJson.ToArray();
        return SendAsync(
            userId,
            text,
            static userJson => Utf8.ToTerminated(userJson, nameof(userJson)),
            options,
            cancellationToken);
    }

    /// <inheritdoc cref="UpdateUserJsonAsync(long, ReadOnlySpan{byte}, CommBoxCallOptions, CancellationToken)"/>
    public virtual Task<UpdateResult> UpdateUserJsonAsync(
        long userId, ReadOnlySpan<byte> userJson, CancellationToken cancellationToken = default) =>
        UpdateUserJsonAsync(userId, userJson, options: null, cancellationToken);

    /// <summary>
    /// Checks an update like <see cref="UpdateUser(long, UserInfo, CancellationToken)"/> does
    /// before it sends anything. It sends nothing and does not block.
    /// </summary>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="user">The changes.</param>
    /// <exception cref="CommBoxValidationException">
    /// The id or the user is invalid. The message contains all problems.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void ValidateUser(long userId, UserInfo user)
    {
        ArgumentNullException.ThrowIfNull(user);
        ValidateUserJson(userId, user.ToJson());
    }

    /// <inheritdoc cref="ValidateUser"/>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="userJson">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    public virtual void ValidateUserJson(long userId, string userJson)
    {
        ArgumentNullException.ThrowIfNull(userJson);
        ThrowIfUnusable();
        _handle.ValidateUserJson(userId, userJson);
    }

    /// <summary>
    /// Returns the statistics of the client: calls, failures, connections, rate limit and latency.
    /// </summary>
    /// <returns>
    /// The present figures. Counting takes no lock: they may differ from one another by the calls
    /// that run while they are read.
    /// </returns>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual CommBoxStatistics GetStatistics()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        return _handle.IsInvalid ? new CommBoxStatistics() : _handle.Statistics();
    }

    /// <summary>
    /// Checks the path from this machine to the server: proxy, DNS lookup, connections, TLS and its
    /// certificates, HTTP, and both clocks. It sends no update and no API key. Blocks for at most
    /// <see cref="CommBoxClientOptions.Timeout"/>.
    /// </summary>
    /// <param name="cancellationToken">Cancels the call within about 100 ms.</param>
    /// <returns>
    /// A JSON object, as <c>commbox_client_diagnose_json</c> in <c>commbox.h</c> documents it. A
    /// step that was not reached is null.
    /// </returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual string DiagnoseJson(CancellationToken cancellationToken = default)
    {
        ThrowIfUnusable();
        cancellationToken.ThrowIfCancellationRequested();
        return _handle.DiagnoseJson(cancellationToken);
    }

    /// <summary>
    /// Updates many users, and returns each result, once, in the order in which the updates finish.
    /// Updates of one user are sent one at a time, in the order of the source. Nothing is sent
    /// before the results are enumerated, and each enumeration sends again.
    /// </summary>
    /// <param name="updates">
    /// The updates. They are read only as fast as they are sent and their results are collected, at
    /// most <see cref="CommBoxBatchOptions.QueueLimit"/> ahead, so the memory does not depend on
    /// their number.
    /// </param>
    /// <param name="options">
    /// Concurrency, progress and other options; null for the defaults.
    /// </param>
    /// <param name="cancellationToken">Ends the enumeration with an exception.</param>
    /// <returns>
    /// The results. An update that fails or is invalid is a result with an
    /// <see cref="CommBoxBatchResult.Error"/>, and the others continue; so is one that cannot be
    /// read, or that is null. If the source fails, the updates that were not sent are returned as
    /// cancelled, and then the source's exception is thrown.
    /// </returns>
    /// <remarks>
    /// Leaving the enumeration ends the batch at once: pending updates are dropped, and those in
    /// flight are cancelled, with an unknown result. To stop and still receive the result of every
    /// update, end the source. The source is read on the thread pool. If it blocks, the batch does
    /// not wait for it, and it is disposed when it returns. <see cref="Cancel"/> cancels the
    /// updates in flight, which are returned as cancelled, and the others continue;
    /// <see cref="Dispose()"/> lets all of them finish. <see cref="CommBoxClientOptions.Timeout"/>
    /// starts when an update is dispatched. A progress handler that throws ends the batch like a
    /// source that fails.
    /// </remarks>
    /// <exception cref="CommBoxValidationException">An option is invalid.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual IAsyncEnumerable<CommBoxBatchResult> UpdateUsersAsync(
        IAsyncEnumerable<UserUpdate> updates,
        CommBoxBatchOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(updates);
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        return _handle.IsInvalid
            ? OneByOne(updates, cancellationToken)
            : BatchRun.Results(_handle, updates, options ?? new CommBoxBatchOptions(), cancellationToken);
    }

    /// <inheritdoc cref="UpdateUsersAsync(IAsyncEnumerable{UserUpdate}, CommBoxBatchOptions, CancellationToken)"/>
    public virtual IAsyncEnumerable<CommBoxBatchResult> UpdateUsersAsync(
        IEnumerable<UserUpdate> updates,
        CommBoxBatchOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(updates);
        return UpdateUsersAsync(Each(updates), options, cancellationToken);
    }

    /// <summary>
    /// Cancels every call that is in flight on the client, on any thread: each throws
    /// <see cref="OperationCanceledException"/> within about 100 ms. Its inner exception is null if
    /// the call had not begun and nothing was sent. Calls that begin later are not affected.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void Cancel()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        _queue.CancelAll();
        if (!_handle.IsInvalid)
        {
            _handle.Cancel();
        }
    }

    /// <summary>
    /// Replaces the API key. Every attempt that starts afterwards uses the new key, on any thread.
    /// </summary>
    /// <param name="apiKey">The new key.</param>
    /// <exception cref="CommBoxValidationException">
    /// The key is malformed. The client keeps its present key.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void SetApiKey(string apiKey)
    {
        ArgumentNullException.ThrowIfNull(apiKey);
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if (!_handle.IsInvalid)
        {
            _handle.SetApiKey(apiKey);
        }
    }

    /// <summary>
    /// Sets <see cref="CommBoxClientOptions.MaxRequestsPerSecond"/>, for every request from now on,
    /// including those of pending calls.
    /// </summary>
    /// <param name="rate">The rate, 0.001 to 1,000,000; 0 removes the limit.</param>
    /// <exception cref="CommBoxValidationException">
    /// The rate is out of range. The client keeps its present limit.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void SetMaxRequestsPerSecond(double rate)
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if (!_handle.IsInvalid)
        {
            _handle.SetMaxRequestsPerSecond(rate);
        }
    }

    /// <summary>
    /// Sets <see cref="CommBoxClientOptions.LogLevel"/>. It has no effect without a
    /// <see cref="CommBoxClientOptions.Log"/>.
    /// </summary>
    /// <param name="level">
    /// The level: the log receives its events and those of the levels before it.
    /// </param>
    /// <exception cref="CommBoxValidationException">The level is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void SetLogLevel(CommBoxLogLevel level)
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if (level is < CommBoxLogLevel.Off or > CommBoxLogLevel.Trace)
        {
            throw new CommBoxValidationException($"{nameof(level)} must be from Off to Trace");
        }
        if (!_handle.IsInvalid)
        {
            _handle.SetLogLevel(level);
        }
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

    /// <summary>Sends many updates for a test double: by its own single call for each.</summary>
    private async IAsyncEnumerable<CommBoxBatchResult> OneByOne(
        IAsyncEnumerable<UserUpdate> updates,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        long index = 0;
        await foreach (UserUpdate update in updates.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            (UpdateResult? result, CommBoxException? error) = (null, null);
            try
            {
                result = await UpdateUserJsonAsync(update.UserId, update.ToJson(), update.Options, cancellationToken)
                    .ConfigureAwait(false);
            }
            catch (CommBoxException failure)
            {
                error = failure;
            }
            yield return new CommBoxBatchResult(update, result, error) { Index = index++ };
        }
    }

    /// <summary>
    /// Sends the JSON that <paramref name="write"/> writes for <paramref name="user"/>.
    /// </summary>
    private UpdateResult Send<T>(
        long userId,
        T user,
        Func<T, NativeText> write,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken)
    {
        ThrowIfUnusable();
        cancellationToken.ThrowIfCancellationRequested();
        using NativeText userJson = write(user);
        return Update(userId, userJson, options, cancellationToken);
    }

    private UpdateResult Update(
        long userId, NativeText userJson, CommBoxCallOptions? options, CancellationToken cancellationToken)
    {
        if (!Telemetry.IsWanted)
        {
            return _handle.UpdateUser(userId, userJson, options?.ToJson(), cancellationToken);
        }
        using ObservedCall call = Telemetry.Begin(_handle);
        try
        {
            UpdateResult result = _handle.UpdateUser(
                userId, userJson, call.WithTrace(options)?.ToJson(), cancellationToken);
            call.Succeeded(result);
            return result;
        }
        catch (Exception error)
        {
            call.Failed(error);
            throw;
        }
    }

    /// <summary>
    /// Sends the JSON that <paramref name="write"/> writes for <paramref name="user"/> before the
    /// first await.
    /// </summary>
    private Task<UpdateResult> SendAsync<T>(
        long userId,
        T user,
        Func<T, byte[]> write,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken) =>
        Telemetry.IsWanted
            ? SendObservedAsync(userId, user, write, options, cancellationToken)
            : SendUnobservedAsync(userId, user, write, options, cancellationToken);

    private async Task<UpdateResult> SendObservedAsync<T>(
        long userId,
        T user,
        Func<T, byte[]> write,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken)
    {
        using ObservedCall call = Telemetry.Begin(_handle);
        try
        {
            UpdateResult result = await SendUnobservedAsync(
                userId, user, write, call.WithTrace(options), cancellationToken).ConfigureAwait(false);
            call.Succeeded(result);
            return result;
        }
        catch (Exception error)
        {
            call.Failed(error);
            throw;
        }
    }

    private async Task<UpdateResult> SendUnobservedAsync<T>(
        long userId,
        T user,
        Func<T, byte[]> write,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken)
    {
        ThrowIfUnusable();
        cancellationToken.ThrowIfCancellationRequested();
        Outcome outcome = await _queue
            .SendAsync(userId, write(user), options?.ToJson(), cancellationToken).ConfigureAwait(false);
        return outcome.Result(cancellationToken);
    }

    private void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if (_handle.IsInvalid)
        {
            throw new NotImplementedException($"{GetType()} does not override this method of {nameof(CommBoxClient)}");
        }
    }

    private static async IAsyncEnumerable<UserUpdate> Each(IEnumerable<UserUpdate> updates)
    {
        foreach (UserUpdate update in updates)
        {
            yield return update;
        }
        // Nothing is awaited, but without an await the compiler warns about an asynchronous method.
        await Task.CompletedTask.ConfigureAwait(false);
    }

    private static string? Default(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
