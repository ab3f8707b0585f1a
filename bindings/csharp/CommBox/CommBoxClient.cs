namespace CommBox;

/// <summary>
/// Updates users in CommBox. One client for a whole program is best: its methods may be called from any number of
/// threads at once, which then share its connections.
/// </summary>
/// <example><code>
/// using var client = new CommBoxClient("my-api-key");
/// UpdateResult result = client.UpdateUser(94382332, new UserInfo { FirstName = "John" });
/// </code></example>
public class CommBoxClient : IDisposable
{
    private readonly ClientHandle _handle;

    /// <summary>Makes a client. Nothing is sent before the first call.</summary>
    /// <param name="apiKey">
    /// The key that CommBox issued, without the word "Bearer". Default: the environment's <c>COMMBOX_API_KEY</c>.
    /// </param>
    /// <param name="options">Timeouts, proxy and the like; null for the defaults. Later changes to it have no effect.</param>
    /// <exception cref="CommBoxValidationException">The key or an option is missing or wrong; all options are named.</exception>
    /// <exception cref="DllNotFoundException">The native library was not found; every path tried is named.</exception>
    public CommBoxClient(string? apiKey = null, CommBoxClientOptions? options = null)
    {
        apiKey ??= Default("COMMBOX_API_KEY")
            ?? throw new CommBoxValidationException("there is no API key: pass apiKey, or set COMMBOX_API_KEY");
        _handle = new ClientHandle(apiKey, (options ?? new CommBoxClientOptions()).ToJson(Default("COMMBOX_BASE_URL")));
    }

    /// <summary>Makes a client that cannot send, for test doubles that override the methods.</summary>
    protected CommBoxClient() => _handle = new ClientHandle();

    internal CommBoxClient(ClientHandle handle) => _handle = handle;

    /// <summary>
    /// Updates a user and waits for the server's answer, at most <see cref="CommBoxClientOptions.Timeout"/>. Failures
    /// that may pass are tried again: see <see cref="CommBoxClientOptions.MaxRetries"/>.
    /// </summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="user">What to change; only what is set is sent.</param>
    /// <param name="cancellationToken">Ends this call, and no other, within about 100 ms, wherever it waits.</param>
    /// <returns>The server's confirmation.</returns>
    /// <exception cref="CommBoxException">
    /// The update was not confirmed. The subclass tells why, <see cref="CommBoxException.Delivery"/> whether it may have
    /// arrived.
    /// </exception>
    /// <exception cref="OperationCanceledException">
    /// The token was cancelled, and is the exception's; or <see cref="Cancel"/> was called. The inner exception is a
    /// <see cref="CommBoxException"/>, whose <see cref="CommBoxException.Delivery"/> tells whether the update may have
    /// arrived. There is none where the token was cancelled before the call began: nothing was sent.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual UpdateResult UpdateUser(long userId, UserInfo user, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(user);
        return UpdateResult.Parse(UpdateUserJson(userId, user.ToJson(), cancellationToken));
    }

    /// <summary>
    /// Updates a user from JSON, which is sent as it is written, and waits for the server's answer as
    /// <see cref="UpdateUser"/> does.
    /// </summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="userJson">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    /// <param name="cancellationToken"><inheritdoc cref="UpdateUser" path="/param[@name='cancellationToken']"/></param>
    /// <returns>The server's reply as it came.</returns>
    /// <inheritdoc cref="UpdateUser" path="/exception"/>
    public virtual string UpdateUserJson(long userId, string userJson, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(userJson);
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        cancellationToken.ThrowIfCancellationRequested();
        return _handle.UpdateUserJson(userId, userJson, cancellationToken);
    }

    /// <summary>Updates a user without blocking the caller.</summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="user">What to change; only what is set is sent. Read before this method returns.</param>
    /// <param name="cancellationToken"><inheritdoc cref="UpdateUser" path="/param[@name='cancellationToken']"/></param>
    /// <returns>The server's confirmation.</returns>
    /// <remarks>The call occupies a thread of the thread pool while it lasts.</remarks>
    /// <inheritdoc cref="UpdateUser" path="/exception"/>
    public virtual async Task<UpdateResult> UpdateUserAsync(
        long userId, UserInfo user, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(user);
        string reply = await UpdateUserJsonAsync(userId, user.ToJson(), cancellationToken).ConfigureAwait(false);
        return UpdateResult.Parse(reply);
    }

    /// <summary>Updates a user from JSON, which is sent as it is written, without blocking the caller.</summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="userJson">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    /// <param name="cancellationToken"><inheritdoc cref="UpdateUser" path="/param[@name='cancellationToken']"/></param>
    /// <returns>The server's reply as it came.</returns>
    /// <inheritdoc cref="UpdateUserAsync" path="/remarks"/>
    /// <inheritdoc cref="UpdateUser" path="/exception"/>
    public virtual async Task<string> UpdateUserJsonAsync(
        long userId, string userJson, CancellationToken cancellationToken = default) =>
        // The call and the reading of its error are one piece of work, and so on one thread.
        await Task.Run(() => UpdateUserJson(userId, userJson, cancellationToken), cancellationToken).ConfigureAwait(false);

    /// <summary>
    /// Ends every call that is in flight on the client, on any thread, within about 100 ms; each throws
    /// <see cref="OperationCanceledException"/>. Calls that begin later work as before.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void Cancel()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        _handle.Cancel();
    }

    /// <summary>Puts another API key in the place of the present one, for every attempt from now on, on all threads.</summary>
    /// <param name="apiKey">The new key.</param>
    /// <exception cref="CommBoxValidationException">No request could carry the key; the present one stays.</exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void SetApiKey(string apiKey)
    {
        ArgumentNullException.ThrowIfNull(apiKey);
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        _handle.SetApiKey(apiKey);
    }

    /// <summary>Closes the client. It does not wait: calls in flight on other threads finish as if nothing happened.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes the client.</summary>
    /// <param name="disposing">Whether <see cref="Dispose()"/> calls; the handle has a finalizer of its own.</param>
    protected virtual void Dispose(bool disposing)
    {
        if (disposing)
        {
            _handle.Dispose();
        }
    }

    private static string? Default(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
