using System.Text.Json;

namespace CommBox;

/// <content>Updating one user on the calling thread, and checking an update.</content>
public partial class CommBoxClient
{
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
}
