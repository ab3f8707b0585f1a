namespace CommBox;

/// <content>The thread that collects results.</content>
internal sealed partial class UpdateQueue
{
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(1);

    private bool _hasThread;

    /// <summary>Starts a thread that runs a loop; tests replace it.</summary>
    internal Action<ThreadStart> StartThread { get; init; } = static loop =>
        // The thread runs none of the caller's code, and must not keep the caller's
        // ExecutionContext.
        new Thread(loop) { IsBackground = true, Name = "CommBox" }.UnsafeStart();

    private void EnsureThread()
    {
        if (_hasThread)
        {
            return;
        }
        try
        {
            // A separate thread, because one of the thread pool would be blocked while it waits in
            // the library.
            BatchHandle batch = _batch!;
            StartThread(() => Collect(batch));
        }
        catch (Exception error) when (error is OutOfMemoryException or ThreadStartException)
        {
            throw CommBoxException.Internal("could not start a thread that collects results; nothing was sent", error);
        }
        _hasThread = true;
    }

    /// <summary>Runs on the thread: reports each update's outcome.</summary>
    private void Collect(BatchHandle batch)
    {
        bool goesOn;
        do
        {
            int code = batch.Next(Linger, out ulong number, out Outcome outcome);
            lock (_lock)
            {
                goesOn = _hasThread = Took(code, number, outcome);
                TellFlushes();
            }
        }
        while (goesOn);
    }

    /// <summary>Returns whether more results may follow.</summary>
    private bool Took(int code, ulong number, Outcome outcome)
    {
        switch (code)
        {
            case Native.Ok:
                if (_submitted.Remove(number, out Update? finished))
                {
                    Finish(finished, outcome);
                }
                SubmitWaiting();
                return true;
            case Native.Timeout:
                return _submitted.Count > 0;
            case Native.Cancelled:
                // CommBoxClient.Cancel() ended this wait. The cancelled updates of the batch are
                // collected one by one.
                return true;
            default:
                // The batch is done or freed, and no update is pending. If one is, the library has
                // a bug, and its caller must not wait forever.
                foreach (Update lost in _pending.ToList())
                {
                    Finish(lost, outcome);
                }
                _submitted.Clear();
                return false;
        }
    }
}
