namespace CommBox;

/// <summary>
/// What came of an update that was made in a batch: the server's confirmation, or for another code
/// than 0 the error as <c>commbox_last_error_json</c> reports it.
/// </summary>
internal readonly record struct Outcome(int Code, string Json, UpdateResult? Success = null)
{
    /// <summary>It was cancelled before the library had it.</summary>
    internal static readonly Outcome NotBegun = new(Native.Cancelled, "");

    /// <summary>The server's confirmation.</summary>
    /// <exception cref="CommBoxException">There is none.</exception>
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
