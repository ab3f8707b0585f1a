using System.Diagnostics.CodeAnalysis;

namespace CommBox;

/// <summary>The result of one of many updates.</summary>
/// <param name="Update">
/// The update, as the source returned it. For a null row it is an empty update of user 0; see
/// <see cref="Index"/>.
/// </param>
/// <param name="Result">The server's reply; null if the update failed.</param>
/// <param name="Error">
/// The failure; null if the update succeeded. If reading the update threw an exception, that is its
/// inner exception. An update that was cancelled is a <see cref="CommBoxException"/> with the code
/// -8.
/// </param>
public sealed record CommBoxBatchResult(UserUpdate Update, UpdateResult? Result, CommBoxException? Error)
{
    /// <summary>The position of the update in the source, starting at 0.</summary>
    public long Index { get; init; }

    /// <summary>Whether the server confirmed the update.</summary>
    [MemberNotNullWhen(true, nameof(Result))]
    [MemberNotNullWhen(false, nameof(Error))]
    public bool IsSuccess => Error is null;

    /// <summary>
    /// Returns a text with the number of the user, but no values: they are personal data, which
    /// should not be logged.
    /// </summary>
    /// <returns>A text for logs.</returns>
    public override string ToString() => LogText.Of(
        nameof(CommBoxBatchResult),
        (nameof(Index), Index),
        (nameof(UserUpdate.UserId), Update.UserId),
        (nameof(Result), Result),
        (nameof(Error), Error is null ? null : $"{Error.GetType().Name}: {Error.Message}"));

    internal static CommBoxBatchResult From(UserUpdate update, Outcome outcome) =>
        outcome.Code == Native.Ok
            ? new(update, outcome.Success, Error: null)
            : new(update, Result: null, CommBoxException.Parse(outcome.Json));
}
