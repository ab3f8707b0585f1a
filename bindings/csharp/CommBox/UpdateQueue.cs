namespace CommBox;

/// <summary>
/// Updates that nobody blocks for: a batch of the library, and one thread of this side that takes back what has finished.
/// The thread is there only while updates are outstanding, and a little longer for those that follow.
/// </summary>
/// <param name="batch">The batch; owned from here on.</param>
/// <param name="limit">
/// How many updates may be in the batch: no more than it has room for, so that submitting never waits. Others wait here.
/// </param>
internal sealed class UpdateQueue(BatchHandle batch, int limit)
{
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(1);

    private readonly object _lock = new();
    private readonly Dictionary<ulong, Update> _submitted = [];
    private readonly Queue<Update> _waiting = new();
    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong _lastTag;
    private bool _hasThread;
    private bool _closed;
    private bool _ended;

    /// <summary>Makes an update, after those of the same user that were added before.</summary>
    /// <returns>What came of it.</returns>
    internal async Task<Outcome> SendAsync(
        long userId, string userJson, string? callJson, CancellationToken cancellationToken)
    {
        var done = new TaskCompletionSource<Outcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        var update = new Update(
            userId,
            Utf8.Terminate(userJson, nameof(userJson)),
            Utf8.TerminateOrNull(callJson, "options"),
            outcome => done.TrySetResult(outcome));
        Add(update);
        using CancellationTokenRegistration whenCancelled = cancellationToken.UnsafeRegister(_ => Cancel(update), null);
        return await done.Task.ConfigureAwait(false);
    }

    /// <summary>Adds an update, whose outcome is told it later.</summary>
    /// <returns>False where the batch refused it, and with it all that follow; its outcome tells why.</returns>
    /// <exception cref="ObjectDisposedException">The queue is closed.</exception>
    internal bool Add(Update update)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(CommBoxClient));
            if (_submitted.Count < limit)
            {
                return Submit(update);
            }
            _waiting.Enqueue(update);
            return true;
        }
    }

    /// <summary>Cancels all updates that were added.</summary>
    internal void CancelAll()
    {
        lock (_lock)
        {
            // First those that would follow as soon as others finish.
            while (_waiting.TryDequeue(out Update? update))
            {
                update.Finish(Outcome.NotBegun);
            }
            foreach (ulong tag in _submitted.Keys.OrderDescending())
            {
                batch.Cancel(tag);
            }
        }
    }

    /// <summary>Stops the batch: what was not sent is cancelled, what is under way finishes, and no more is taken.</summary>
    internal void Stop()
    {
        lock (_lock)
        {
            if (!_ended)
            {
                batch.Cancel();
            }
        }
    }

    /// <summary>Takes no more updates. The task ends when all outcomes were told.</summary>
    internal Task CloseAsync()
    {
        lock (_lock)
        {
            _closed = true;
            TellWhereEmpty();
        }
        return _empty.Task;
    }

    /// <summary>Ends at once: what was not sent is dropped, what is under way is cancelled, no outcome is told.</summary>
    internal void End()
    {
        lock (_lock)
        {
            _closed = _ended = true;
            _waiting.Clear();
            _submitted.Clear();
            TellWhereEmpty();
        }
        batch.Dispose();
    }

    /// <summary>Where the batch stands; null once it has ended.</summary>
    internal BatchStats? Stats()
    {
        lock (_lock)
        {
            return _ended ? null : batch.Stats();
        }
    }

    private void Cancel(Update update)
    {
        lock (_lock)
        {
            if (update.Tag is not { } tag)
            {
                update.IsCancelled = true;
                update.Finish(Outcome.NotBegun);
            }
            else if (_submitted.ContainsKey(tag))
            {
                batch.Cancel(tag);
            }
        }
    }

    private bool Submit(Update update)
    {
        ulong tag = ++_lastTag;
        update.Tag = tag;
        if (batch.Submit(tag, update.UserId, update.UserJson, update.CallJson) is { } refusal)
        {
            update.Finish(refusal);
            // Options that are wrong concern this update alone.
            return refusal.Code == Native.InvalidOptions;
        }
        _submitted.Add(tag, update);
        if (!_hasThread)
        {
            // Waiting in the library would take a thread of the pool from others.
            new Thread(Drain) { IsBackground = true, Name = "CommBox" }.Start();
            _hasThread = true;
        }
        return true;
    }

    /// <summary>The life of the thread: tells each update its outcome.</summary>
    private void Drain()
    {
        bool goesOn;
        do
        {
            int code = batch.Next(Linger, out ulong tag, out Outcome outcome);
            lock (_lock)
            {
                goesOn = _hasThread = Took(code, tag, outcome);
                TellWhereEmpty();
            }
        }
        while (goesOn);
    }

    /// <summary>Returns whether there may be more to take.</summary>
    private bool Took(int code, ulong tag, Outcome outcome)
    {
        switch (code)
        {
            case Native.Ok:
                if (_submitted.Remove(tag, out Update? finished))
                {
                    finished.Finish(outcome);
                }
                SubmitWaiting();
                return true;
            case Native.Timeout:
                return _submitted.Count > 0;
            case Native.Cancelled:
                // The client's calls were cancelled, this wait among them; those of the batch come back one by one.
                return true;
            default:
                // The batch is done or freed, and nobody waits; or the library has a bug, and nobody should for ever.
                foreach (Update lost in _submitted.Values.Concat(_waiting))
                {
                    lost.Finish(outcome);
                }
                _submitted.Clear();
                _waiting.Clear();
                return false;
        }
    }

    private void SubmitWaiting()
    {
        while (_submitted.Count < limit && _waiting.TryDequeue(out Update? next))
        {
            if (!next.IsCancelled)
            {
                Submit(next);
            }
        }
    }

    private void TellWhereEmpty()
    {
        if (_closed && _submitted.Count == 0 && _waiting.Count == 0)
        {
            _empty.TrySetResult();
        }
    }

    /// <summary>An update, and who is told its outcome: with the lock held, so briefly.</summary>
    internal sealed class Update(long userId, byte[] userJson, byte[]? callJson, Action<Outcome> finish)
    {
        internal long UserId => userId;

        internal byte[] UserJson => userJson;

        /// <summary>Its own options; null for none.</summary>
        internal byte[]? CallJson => callJson;

        /// <summary>Its number in the batch; null while it waits to be submitted.</summary>
        internal ulong? Tag { get; set; }

        /// <summary>Whether it was cancelled while it waited.</summary>
        internal bool IsCancelled { get; set; }

        internal void Finish(Outcome outcome) => finish(outcome);
    }
}
