using System.Runtime.CompilerServices;
using System.Text.Json;

namespace CommBox;

/// <summary>
/// Updates users in CommBox. One client for a whole program is best: its methods may be called from
/// any number of threads at once, which then share its connections.
/// </summary>
/// <example><code>
/// using var client = new CommBoxClient("my-api-key");
/// UpdateResult result = client.UpdateUser(94382332, new UserInfo { FirstName = "John" });
/// </code></example>
public partial class CommBoxClient : ICommBoxClient, IDisposable, IAsyncDisposable
{
    private readonly ClientHandle _handle;

    /// <summary>The asynchronous calls.</summary>
    private readonly UpdateQueue _queue;

    /// <summary>Makes a client. Nothing is sent before the first call.</summary>
    /// <param name="apiKey">
    /// The key that CommBox issued, without the word "Bearer". Default:
    /// <see cref="CommBoxClientOptions.ApiKey"/>, else the environment's <c>COMMBOX_API_KEY</c>.
    /// </param>
    /// <param name="options">
    /// Timeouts, proxy and the like; null for the defaults. Later changes to it have no effect.
    /// </param>
    /// <exception cref="CommBoxValidationException">
    /// The key or an option is missing or wrong; all options are named.
    /// </exception>
    /// <exception cref="DllNotFoundException">
    /// The native library was not found; every path tried is named.
    /// </exception>
    public CommBoxClient(string? apiKey = null, CommBoxClientOptions? options = null)
    {
        // Not left to the library: on Unix it does not see what
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
    /// Makes a client that cannot send, for test doubles that override the methods. It needs no
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
    /// Updates a user and waits for the server's answer, at most
    /// <see cref="CommBoxClientOptions.Timeout"/>. Transient failures are retried: see
    /// <see cref="CommBoxClientOptions.MaxRetries"/>.
    /// </summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="user">What to change; only what is set is sent.</param>
    /// <param name="options">Options of this call alone; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Ends this call, and no other, within about 100 ms, wherever it waits.
    /// </param>
    /// <returns>The server's confirmation.</returns>
    /// <exception cref="CommBoxException">
    /// The update was not confirmed. The subclass tells why,
    /// <see cref="CommBoxException.Delivery"/> whether it may have arrived.
    /// </exception>
    /// <exception cref="OperationCanceledException">
    /// The token was cancelled, and is the exception's; or <see cref="Cancel"/> was called. The
    /// inner exception is a <see cref="CommBoxException"/>, whose
    /// <see cref="CommBoxException.Delivery"/> tells whether the update may have arrived. There is
    /// none if the call was cancelled before it began: nothing was sent.
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
            // A test double overrides that form alone.
            return UpdateUserJson(userId, user.ToJson(), options, cancellationToken);
        }
        return Send(userId, user, static user => user.ToNative(), options, cancellationToken);
    }

    /// <inheritdoc cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    public virtual UpdateResult UpdateUser(
        long userId, UserInfo user, CancellationToken cancellationToken = default) =>
        UpdateUser(userId, user, options: null, cancellationToken);

    /// <summary>
    /// Updates a user from an element of a JSON document, which is sent as it was parsed, and waits
    /// for the server's answer as
    /// <see cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/> does.
    /// </summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="user">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    /// <param name="options">Options of this call alone; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Ends this call, and no other, within about 100 ms, wherever it waits.
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
    /// Updates a user from JSON, which is sent as it is written, and waits for the server's answer
    /// as <see cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/> does.
    /// </summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="userJson">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    /// <param name="options">Options of this call alone; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Ends this call, and no other, within about 100 ms, wherever it waits.
    /// </param>
    /// <returns>
    /// The server's confirmation; <see cref="UpdateResult.Raw"/> is its reply as it came.
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
    /// Updates a user from JSON in UTF-8, which is sent as it is written, and waits for the
    /// server's answer as
    /// <see cref="UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/> does.
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
    /// Updates a user without blocking a thread while it waits. Updates of the same user are sent
    /// in the order of the calls, one at a time.
    /// </summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="user">
    /// What to change; only what is set is sent. Read before this method returns.
    /// </param>
    /// <param name="options">Options of this call alone; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Ends this call, and no other, within about 100 ms, wherever it waits.
    /// </param>
    /// <remarks>
    /// <see cref="CommBoxClientOptions.MaxConcurrency"/> calls are in flight at a time.
    /// <see cref="CommBoxClientOptions.Timeout"/> begins when the update may be sent: neither other
    /// calls nor the server's throttling cost it any.
    /// <see cref="CommBoxClientOptions.OverallTimeout"/> or the token bounds the whole.
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
    /// Updates a user from an element of a JSON document, which is sent as it was parsed, without
    /// blocking a thread, as
    /// <see cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/> does.
    /// </summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="user">
    /// The user's fields, or the whole body: <c>{"data": {…}}</c>. Read before this method returns.
    /// </param>
    /// <param name="options">Options of this call alone; null for those of the client.</param>
    /// <param name="cancellationToken">
    /// Ends this call, and no other, within about 100 ms, wherever it waits.
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
    /// Updates a user from JSON, which is sent as it is written, without blocking a thread, as
    /// <see cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/> does.
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
    /// Updates a user from JSON in UTF-8, which is sent as it is written and is read before this
    /// method returns, without blocking a thread, as
    /// <see cref="UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/> does.
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
    /// Checks an update as it is checked before it is sent. Nothing is sent, and nothing is waited
    /// for.
    /// </summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="user">What to change.</param>
    /// <exception cref="CommBoxValidationException">
    /// The update would be refused; all problems are named.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void ValidateUser(long userId, UserInfo user)
    {
        ArgumentNullException.ThrowIfNull(user);
        ValidateUserJson(userId, user.ToJson());
    }

    /// <inheritdoc cref="ValidateUser"/>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="userJson">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    public virtual void ValidateUserJson(long userId, string userJson)
    {
        ArgumentNullException.ThrowIfNull(userJson);
        ThrowIfUnusable();
        _handle.ValidateUserJson(userId, userJson);
    }

    /// <summary>
    /// Returns where the client stands: calls, failures, connections, rate and latency.
    /// </summary>
    /// <returns>
    /// The figures of this moment. Those that change meanwhile may differ by what runs.
    /// </returns>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual CommBoxStatistics GetStatistics()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        return _handle.IsInvalid ? new CommBoxStatistics() : _handle.Statistics();
    }

    /// <summary>
    /// Looks at what stands between this machine and the server: proxy, DNS lookup, connections,
    /// TLS and its certificates, HTTP, and both clocks. It sends no update and no API key.
    /// </summary>
    /// <param name="cancellationToken">Ends the call within about 100 ms.</param>
    /// <returns>
    /// A JSON object, as <c>commbox.h</c> documents it; what was not reached is null.
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
    /// Makes many updates, and tells what came of each, once, in the order in which they finish.
    /// Updates of the same user are sent in the order of the source, one at a time. Nothing is sent
    /// before the results are enumerated; each enumeration sends anew.
    /// </summary>
    /// <param name="updates">
    /// The updates. They are read only as fast as they are sent and their results taken,
    /// <see cref="CommBoxBatchOptions.QueueLimit"/> ahead at most, so that the memory is constant
    /// however many there are.
    /// </param>
    /// <param name="options">
    /// How many at a time, progress and the like; null for the defaults.
    /// </param>
    /// <param name="cancellationToken">
    /// Ends the enumeration, as leaving it does, with an exception.
    /// </param>
    /// <returns>
    /// The results. An update that fails, or that is not what the API takes, is a result with its
    /// <see cref="CommBoxBatchResult.Error"/>, and the others go on; so is one that cannot be read, or
    /// that is null. If the source fails, what was not sent comes back as cancelled, then the
    /// source's exception is thrown.
    /// </returns>
    /// <remarks>
    /// Leaving the enumeration ends the batch at once: what was not sent never is, and what is
    /// in flight is cancelled, its outcome unknown. To stop and still know of every update, end the
    /// source. The source is read on the thread pool; one that waits is not waited for, and is
    /// disposed when it returns. <see cref="Cancel"/> cancels the updates in flight, which come
    /// back as such, and the others go on; <see cref="Dispose()"/> lets all of it finish.
    /// <see cref="CommBoxClientOptions.Timeout"/> begins when an update may be sent. A progress
    /// handler that throws ends the batch as a source that fails does.
    /// </remarks>
    /// <exception cref="CommBoxValidationException">An option is wrong.</exception>
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
    /// Ends every call that was made on the client, on any thread, within about 100 ms; each throws
    /// <see cref="OperationCanceledException"/>, whose inner exception is null where the call was
    /// not begun and nothing was sent. Calls that are made later work as before.
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
    /// Puts another API key in the place of the present one, for every attempt from now on, on all
    /// threads.
    /// </summary>
    /// <param name="apiKey">The new key.</param>
    /// <exception cref="CommBoxValidationException">
    /// No request could carry the key; the present one stays.
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
    /// Sets <see cref="CommBoxClientOptions.MaxRequestsPerSecond"/> of the running client, for
    /// every request from now on, those of waiting calls included.
    /// </summary>
    /// <param name="rate">The rate, from 0.001 to 1,000,000; 0 removes the limit.</param>
    /// <exception cref="CommBoxValidationException">
    /// The rate is out of range; the present limit stays.
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
    /// Sets <see cref="CommBoxClientOptions.LogLevel"/> of the running client. Without a
    /// <see cref="CommBoxClientOptions.Log"/> it has no effect.
    /// </summary>
    /// <param name="level">The least important events that the log receives from now on.</param>
    /// <exception cref="CommBoxValidationException">There is no such level.</exception>
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

    /// <summary>What a test double does with many updates: its own call for each.</summary>
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

    /// <summary>Sends what <paramref name="write"/> makes of <paramref name="user"/>.</summary>
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
    /// Sends what <paramref name="write"/> makes of <paramref name="user"/> before the first wait.
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
        // There is nothing to wait for, but the compiler wants an asynchronous method to.
        await Task.CompletedTask.ConfigureAwait(false);
    }

    private static string? Default(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
