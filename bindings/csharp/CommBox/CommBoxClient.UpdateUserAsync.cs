using System.Text.Json;

namespace CommBox;

/// <content>Updating one user without blocking a thread.</content>
public partial class CommBoxClient
{
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
}
