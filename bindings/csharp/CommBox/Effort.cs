namespace CommBox;

/// <summary>
/// The attempts and the duration of an update, and the server's id of the request.
/// </summary>
internal readonly record struct Effort(int Attempts, TimeSpan Elapsed, string? RequestId)
{
    /// <summary>
    /// Returns the values of this thread's last update. Call it right after the update, on the same
    /// thread.
    /// </summary>
    internal static unsafe Effort Last()
    {
        byte* id = Native.LastRequestId();
        return new(
            Native.LastAttempts(),
            new TimeSpan(Native.LastElapsedMs() * TimeSpan.TicksPerMillisecond),
            *id == 0 ? null : Utf8.Decode(id));
    }
}
