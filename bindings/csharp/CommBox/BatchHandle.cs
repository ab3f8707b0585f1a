namespace CommBox;

/// <summary>Owns a <c>commbox_batch</c>.</summary>
internal sealed unsafe class BatchHandle : LibraryHandle
{
    internal BatchHandle(ClientHandle client, string optionsJson, Func<string, string> propertyFor)
    {
        using Lease lease = client.Hold();
        fixed (byte* options = Utf8.Terminate(optionsJson, "options"))
        {
            SetHandle(Native.BatchNew(lease.Handle, options));
        }
        if (IsInvalid)
        {
            throw CommBoxException.LastOfOptions(propertyFor);
        }
    }

    /// <summary>
    /// Submits an update without blocking. Returns null if it is accepted, otherwise the error.
    /// </summary>
    internal Outcome? Submit(ulong tag, long userId, byte[] userJson, byte[]? callJson)
    {
        using Lease lease = Hold();
        fixed (byte* user = userJson)
        fixed (byte* options = callJson)
        {
            int code = Native.BatchSubmitWith(handle, tag, userId, user, options, timeoutMs: 0);
            return code == Native.Ok ? null : LastError(code);
        }
    }

    /// <summary>
    /// Collects a finished update. Returns the library's code for the call; if it is 0,
    /// <paramref name="outcome"/> is that of the update. No lease is needed: freeing the batch ends
    /// the wait, and a freed handle is never reused for another batch.
    /// </summary>
    internal int Next(TimeSpan timeout, out ulong tag, out Outcome outcome)
    {
        ulong itsTag;
        int itsCode;
        byte* json;
        int code = Native.BatchNext(handle, (long)timeout.TotalMilliseconds, &itsTag, &itsCode, &json);
        tag = itsTag;
        outcome = code != Native.Ok ? LastError(code)
            : itsCode == Native.Ok ? new(itsCode, "", UpdateResult.From(Utf8.Copy(json), Effort.Last()))
            : new(itsCode, Utf8.Decode(json));
        Native.StringFree(json);
        GC.KeepAlive(this);
        return code;
    }

    /// <summary>Cancels what was not sent, and accepts no more updates.</summary>
    internal void Cancel()
    {
        using Lease lease = Hold();
        Check(Native.BatchCancel(handle));
    }

    internal void Cancel(ulong tag)
    {
        using Lease lease = Hold();
        Check(Native.BatchCancelTag(handle, tag));
    }

    internal CommBoxBatchStatistics Stats()
    {
        using Lease lease = Hold();
        byte* json = Native.BatchStatsJson(handle);
        if (json is null)
        {
            throw CommBoxException.Last();
        }
        string text = Utf8.Decode(json);
        Native.StringFree(json);
        return CommBoxBatchStatistics.Parse(text);
    }

    protected override bool ReleaseHandle()
    {
        Native.BatchFree(handle);
        return true;
    }

    private static Outcome LastError(int code) => new(code, Utf8.Decode(Native.LastErrorJson()));
}
