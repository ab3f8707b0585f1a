using System.Text.Json.Serialization;

namespace CommBox;

/// <summary>One of many updates: a user, and the changes.</summary>
[JsonConverter(typeof(UserUpdateJsonConverter))]
public sealed record UserUpdate
{
    /// <summary>Creates an update from the properties that are set.</summary>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="user">
    /// The changes. Only properties that are set are sent. They are read when the source has
    /// returned the update.
    /// </param>
    public UserUpdate(long userId, UserInfo user)
    {
        ArgumentNullException.ThrowIfNull(user);
        (UserId, User) = (userId, user);
    }

    /// <summary>Creates an update from JSON, which is sent as it is written.</summary>
    /// <param name="userId">The number that CommBox assigned to the user: 1 or more.</param>
    /// <param name="userJson">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    public UserUpdate(long userId, string userJson)
    {
        ArgumentNullException.ThrowIfNull(userJson);
        (UserId, Json) = (userId, userJson);
    }

    /// <summary>The number that CommBox assigned to the user.</summary>
    public long UserId { get; }

    /// <summary>The changes; null if <see cref="Json"/> contains them.</summary>
    public UserInfo? User { get; }

    /// <summary>The changes as JSON; null if <see cref="User"/> contains them.</summary>
    public string? Json { get; }

    /// <summary>Options for this update; null for those of the client.</summary>
    public CommBoxCallOptions? Options { get; init; }

    /// <summary>
    /// Anything that identifies the update, such as a row number. It is returned in
    /// <see cref="CommBoxBatchResult.Update"/>.
    /// </summary>
    public object? Tag { get; init; }

    /// <summary>
    /// Returns a text with the number of the user, but no values: they are personal data, which
    /// should not be logged.
    /// </summary>
    /// <returns>A text for logs.</returns>
    public override string ToString() => $"{nameof(UserUpdate)} {{ {nameof(UserId)} = {UserId} }}";

    internal string ToJson() => Json ?? User!.ToJson();

    /// <summary>Returns the user as NUL-terminated UTF-8.</summary>
    internal byte[] ToTerminated() => User?.ToTerminated() ?? Utf8.Terminate(Json!, "userJson");
}
