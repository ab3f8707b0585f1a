namespace CommBox;

/// <summary>
/// The outcome of an update in a batch: the server's confirmation, or, if the code is not 0, the
/// error in the JSON of <c>commbox_last_error_json</c>.
/// </summary>
internal readonly record struct Outcome(int Code, string Json, UpdateResult? Success = null)
{
    /// <summary>The update was cancelled before it was submitted.</summary>
    internal static readonly Outcome NotBegun = new(Native.Cancelled, "");

    /// <summary>Returns the server's confirmation.</summary>
    /// <exception cref="CommBoxException">The update failed.</exception>
    /// <exception cref="OperationCanceledException">The update was cancelled.</exception>
    internal UpdateResult Result(CancellationToken cancellationToken)
    {
        if (this == NotBegun)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new OperationCanceledException("the client's calls were cancelled before this one was sent");
        }
        return Success ?? throw CommBoxException.FromJson(Json, cancellationToken);
    }
}
