using System.Text.Json.Serialization;

namespace CommBox;

/// <summary>One of many updates: which user, and what to change.</summary>
[JsonConverter(typeof(UserUpdateJsonConverter))]
public sealed record UserUpdate
{
    /// <summary>An update from the fields that are set.</summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="user">
    /// What to change; only what is set is sent. Read when the source has given it.
    /// </param>
    public UserUpdate(long userId, UserInfo user)
    {
        ArgumentNullException.ThrowIfNull(user);
        (UserId, User) = (userId, user);
    }

    /// <summary>An update from JSON, which is sent as it is written.</summary>
    /// <param name="userId">The number that CommBox gave the user: 1 or more.</param>
    /// <param name="userJson">The user's fields, or the whole body: <c>{"data": {…}}</c>.</param>
    public UserUpdate(long userId, string userJson)
    {
        ArgumentNullException.ThrowIfNull(userJson);
        (UserId, Json) = (userId, userJson);
    }

    /// <summary>The number that CommBox gave the user.</summary>
    public long UserId { get; }

    /// <summary>What to change; null where <see cref="Json"/> tells it.</summary>
    public UserInfo? User { get; }

    /// <summary>What to change, as JSON; null where <see cref="User"/> tells it.</summary>
    public string? Json { get; }

    /// <summary>Options of this update alone; null for those of the client.</summary>
    public CommBoxCallOptions? Options { get; init; }

    /// <summary>
    /// Anything of the caller's, such as a row number; it comes back in
    /// <see cref="CommBoxBatchResult.Update"/>.
    /// </summary>
    public object? Tag { get; init; }

    /// <summary>
    /// Names the user by number alone: the values are personal data, which belong in no log.
    /// </summary>
    /// <returns>A text for logs.</returns>
    public override string ToString() => $"{nameof(UserUpdate)} {{ {nameof(UserId)} = {UserId} }}";

    internal string ToJson() => Json ?? User!.ToJson();

    /// <summary>The same in UTF-8 with the NUL that ends it in C.</summary>
    internal byte[] ToTerminated() => User?.ToTerminated() ?? Utf8.Terminate(Json!, "userJson");
}
