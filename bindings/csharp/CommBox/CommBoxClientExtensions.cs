using System.Text.Json;

namespace CommBox;

/// <summary>
/// Overloads of the calls of <see cref="ICommBoxClient"/> that a test double need not implement:
/// they make the calls that take JSON as a string.
/// </summary>
public static class CommBoxClientExtensions
{
    /// <inheritdoc cref="CommBoxClient.UpdateUser(long, JsonElement, CommBoxCallOptions, CancellationToken)"/>
    public static UpdateResult UpdateUser(
        this ICommBoxClient client,
        long userId,
        JsonElement user,
        CommBoxCallOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client is CommBoxClient real
            ? real.UpdateUser(userId, user, options, cancellationToken)
            : client.UpdateUserJson(userId, JsonText.Of(user, nameof(user)), options, cancellationToken);
    }

    /// <inheritdoc cref="CommBoxClient.UpdateUserAsync(long, JsonElement, CommBoxCallOptions, CancellationToken)"/>
    public static Task<UpdateResult> UpdateUserAsync(
        this ICommBoxClient client,
        long userId,
        JsonElement user,
        CommBoxCallOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client is CommBoxClient real
            ? real.UpdateUserAsync(userId, user, options, cancellationToken)
            : client.UpdateUserJsonAsync(userId, JsonText.Of(user, nameof(user)), options, cancellationToken);
    }

    /// <inheritdoc cref="CommBoxClient.UpdateUserJson(long, ReadOnlySpan{byte}, CommBoxCallOptions, CancellationToken)"/>
    public static UpdateResult UpdateUserJson(
        this ICommBoxClient client,
        long userId,
        ReadOnlySpan<byte> userJson,
        CommBoxCallOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client is CommBoxClient real
            ? real.UpdateUserJson(userId, userJson, options, cancellationToken)
            : client.UpdateUserJson(
                userId, Utf8.Decode(userJson, nameof(userJson)), options, cancellationToken);
    }

    /// <inheritdoc cref="CommBoxClient.UpdateUserJsonAsync(long, ReadOnlySpan{byte}, CommBoxCallOptions, CancellationToken)"/>
    public static Task<UpdateResult> UpdateUserJsonAsync(
        this ICommBoxClient client,
        long userId,
        ReadOnlySpan<byte> userJson,
        CommBoxCallOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client is CommBoxClient real
            ? real.UpdateUserJsonAsync(userId, userJson, options, cancellationToken)
            : client.UpdateUserJsonAsync(
                userId, Utf8.Decode(userJson, nameof(userJson)), options, cancellationToken);
    }
}
