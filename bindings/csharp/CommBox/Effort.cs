namespace CommBox;

/// <summary>What an update took, and what the server calls it.</summary>
internal readonly record struct Effort(int Attempts, TimeSpan Elapsed, string? RequestId)
{
    /// <summary>
    /// That of this thread's last update. To be read right after it, on its thread.
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
