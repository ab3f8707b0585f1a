namespace CommBox;

/// <summary>
/// Updates that nobody blocks for: a batch of the library, and one thread of this side that
/// collects what has finished. The thread is there only while updates are outstanding, and a
/// little longer for those that follow.
/// </summary>
/// <param name="newBatch">Makes the batch, for the first update.</param>
/// <param name="limit">
/// How many updates may be in the batch: no more than it has room for, so that submitting never
/// waits. Others wait here.
/// </param>
/// <param name="limitPerUser">
/// How many of them may be of one user, which are sent one at a time: those of a busy user leave
/// room for other users.
/// </param>
internal sealed class UpdateQueue(Func<BatchHandle> newBatch, int limit, int limitPerUser = int.MaxValue)
{
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(1);

    private readonly object _lock = new();

    /// <summary>All updates without an outcome, in the order in which they were added.</summary>
    private readonly LinkedList<Update> _pending = new();

    /// <summary>Those that are in the batch, by their tags.</summary>
    private readonly Dictionary<ulong, Update> _submitted = [];

    /// <summary>Those that wait for room in the batch.</summary>
    private readonly LinkedList<Update> _waiting = new();

    /// <summary>The users of all of these.</summary>
    private readonly Dictionary<long, User> _users = [];

    /// <summary>
    /// Who waits for the outcomes of all updates up to a number, the lowest number first.
    /// </summary>
    private readonly Queue<(ulong Last, TaskCompletionSource<bool> Told)> _flushes = new();

    private BatchHandle? _batch;

    private ulong _last;
    private bool _hasThread;
    private bool _closed;
    private bool _ended;

    /// <summary>Starts a thread that runs a loop; tests replace it.</summary>
    internal Action<ThreadStart> StartThread { get; init; } = static loop =>
        // It runs none of the caller's code, and must not keep the caller's ExecutionContext.
        new Thread(loop) { IsBackground = true, Name = "CommBox" }.UnsafeStart();

    /// <summary>How many updates have no outcome yet.</summary>
    internal int Pending
    {
        get
        {
            lock (_lock)
            {
                return _pending.Count;
            }
        }
    }

    /// <summary>
    /// Makes an update, after those of the same user that were added before.
    /// <paramref name="userJson"/> ends in NUL.
    /// </summary>
    /// <returns>What came of it.</returns>
    internal async Task<Outcome> SendAsync(
        long userId, byte[] userJson, string? callJson, CancellationToken cancellationToken)
    {
        var done = new TaskCompletionSource<Outcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        var update = new Update(
            userId, userJson, Utf8.TerminateOrNull(callJson, "options"), outcome => done.TrySetResult(outcome));
        Add(update);
        using CancellationTokenRegistration whenCancelled =
            cancellationToken.CanBeCanceled ? RegisterCancel(update, cancellationToken) : default;
        return await done.Task.ConfigureAwait(false);
    }

    /// <summary>Adds an update, whose outcome is reported to it later.</summary>
    /// <returns>
    /// False if the batch refused it, and with it all that follow; its outcome tells why.
    /// </returns>
    /// <exception cref="ObjectDisposedException">The queue is closed.</exception>
    /// <exception cref="CommBoxException">It cannot be sent for want of a thread.</exception>
    internal bool Add(Update update)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(CommBoxClient));
            // Whatever may fail comes before the update is in the hands of the library.
            EnsureBatch();
            EnsureThread();
            update.Number = ++_last;
            _pending.AddLast(update.InPending);
            if (!_users.TryGetValue(update.UserId, out User? user))
            {
                _users.Add(update.UserId, user = new User());
            }
            if (user.Active >= limitPerUser)
            {
                (user.Behind ??= new()).AddLast(update.InWaiting);
                return true;
            }
            user.Active++;
            return SubmitOrWait(update);
        }
    }

    /// <summary>Cancels all updates that were added.</summary>
    internal void CancelAll()
    {
        lock (_lock)
        {
            // First those that would follow as soon as others finish.
            foreach (Update update in _pending.Where(update => !update.IsSubmitted).ToList())
            {
                Finish(update, Outcome.NotBegun);
            }
            foreach (ulong number in _submitted.Keys.OrderByDescending(number => number))
            {
                _batch!.Cancel(number);
            }
        }
    }

    /// <summary>
    /// Stops the batch: what was not sent is cancelled, what is in flight finishes, and no more is
    /// taken.
    /// </summary>
    internal void Stop()
    {
        lock (_lock)
        {
            if (!_ended)
            {
                _batch?.Cancel();
            }
        }
    }

    /// <summary>
    /// Returns a task that ends when all updates that were added until now have their outcomes.
    /// </summary>
    internal Task FlushAsync()
    {
        lock (_lock)
        {
            if (_pending.Count == 0)
            {
                return Task.CompletedTask;
            }
            var told = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            _flushes.Enqueue((_last, told));
            return told.Task;
        }
    }

    /// <summary>Takes no more updates. The task ends when all have their outcomes.</summary>
    internal Task CloseAsync()
    {
        lock (_lock)
        {
            _closed = true;
        }
        return FlushAsync();
    }

    /// <summary>
    /// Ends at once: what was not sent is dropped, what is in flight is cancelled, no outcome is
    /// told.
    /// </summary>
    internal void End()
    {
        lock (_lock)
        {
            _closed = _ended = true;
            _pending.Clear();
            _submitted.Clear();
            _waiting.Clear();
            _users.Clear();
            TellFlushes();
            _batch?.Dispose();
        }
    }

    /// <summary>Where the batch stands; null once it has ended, or if there was none.</summary>
    internal CommBoxBatchStatistics? Stats()
    {
        lock (_lock)
        {
            return _ended ? null : _batch?.Stats();
        }
    }

    /// <summary>How many updates wait to be sent, here and in the batch.</summary>
    internal long CountQueued()
    {
        lock (_lock)
        {
            return _pending.Count - _submitted.Count + (_submitted.Count > 0 ? Stats()?.Queued ?? 0 : 0);
        }
    }

    /// <summary>Makes the batch before the first update needs it.</summary>
    /// <exception cref="CommBoxValidationException">Its options are wrong.</exception>
    internal void Open()
    {
        lock (_lock)
        {
            EnsureBatch();
        }
    }

    private void EnsureBatch() => _batch ??= newBatch();

    private void EnsureThread()
    {
        if (_hasThread)
        {
            return;
        }
        try
        {
            // Waiting in the library would take a thread of the pool from others.
            BatchHandle batch = _batch!;
            StartThread(() => Collect(batch));
        }
        catch (Exception error) when (error is OutOfMemoryException or ThreadStartException)
        {
            throw CommBoxException.Internal("could not start a thread that collects results; nothing was sent", error);
        }
        _hasThread = true;
    }

    private CancellationTokenRegistration RegisterCancel(Update update, CancellationToken cancellationToken) =>
        cancellationToken.UnsafeRegister(_ => Cancel(update), null);

    private void Cancel(Update update)
    {
        lock (_lock)
        {
            if (update.InPending.List is null)
            {
                return;
            }
            if (update.IsSubmitted)
            {
                _batch!.Cancel(update.Number);
            }
            else
            {
                Finish(update, Outcome.NotBegun);
            }
        }
    }

    private bool SubmitOrWait(Update update)
    {
        if (_submitted.Count >= limit)
        {
            _waiting.AddLast(update.InWaiting);
            return true;
        }
        if (_batch!.Submit(update.Number, update.UserId, update.UserJson, update.CallJson) is { } refusal)
        {
            Finish(update, refusal);
            // Options that are wrong concern this update alone.
            return refusal.Code == Native.InvalidOptions;
        }
        update.Submitted();
        _submitted.Add(update.Number, update);
        return true;
    }

    /// <summary>Reports an outcome, and lets those move up that waited for it.</summary>
    private void Finish(Update update, Outcome outcome)
    {
        _pending.Remove(update.InPending);
        User user = _users[update.UserId];
        if (update.InWaiting.List is { } list && list == user.Behind)
        {
            list.Remove(update.InWaiting);
        }
        else
        {
            user.Active--;
            update.InWaiting.List?.Remove(update.InWaiting);
            if (user.Behind?.First is { } next)
            {
                user.Behind!.Remove(next);
                user.Active++;
                _waiting.AddLast(next);
            }
        }
        if (user.Active == 0)
        {
            _users.Remove(update.UserId);
        }
        update.Finish(outcome);
    }

    /// <summary>The life of the thread: tells each update its outcome.</summary>
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

    /// <summary>Returns whether there may be more to take.</summary>
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
                // The client's calls were cancelled, this wait among them; those of the batch come
                // back one by one.
                return true;
            default:
                // The batch is done or freed, and nobody waits; or the library has a bug, and
                // nobody should forever.
                foreach (Update lost in _pending.ToList())
                {
                    Finish(lost, outcome);
                }
                _submitted.Clear();
                return false;
        }
    }

    private void SubmitWaiting()
    {
        while (_submitted.Count < limit && _waiting.First is { } next)
        {
            _waiting.Remove(next);
            SubmitOrWait(next.Value);
        }
    }

    private void TellFlushes()
    {
        ulong oldest = _pending.First?.Value.Number ?? ulong.MaxValue;
        while (_flushes.TryPeek(out var flush) && flush.Last < oldest)
        {
            _flushes.Dequeue().Told.TrySetResult(true);
        }
    }

    /// <summary>A user with updates that have no outcome.</summary>
    private sealed class User
    {
        /// <summary>
        /// How many of the user's updates are in the batch, or wait for room in it.
        /// </summary>
        internal int Active { get; set; }

        /// <summary>Those that wait until one of these has finished.</summary>
        internal LinkedList<Update>? Behind { get; set; }
    }

    /// <summary>An update, and who is told its outcome: with the lock held, so briefly.</summary>
    internal sealed class Update
    {
        private readonly Action<Outcome> _finish;

        internal Update(long userId, byte[] userJson, byte[]? callJson, Action<Outcome> finish)
        {
            (UserId, UserJson, CallJson, _finish) = (userId, userJson, callJson, finish);
            (InPending, InWaiting) = (new(this), new(this));
        }

        internal long UserId { get; }

        internal byte[] UserJson { get; private set; }

        /// <summary>Its own options; null for none.</summary>
        internal byte[]? CallJson { get; private set; }

        /// <summary>Its number in the order of all, and its tag in the batch.</summary>
        internal ulong Number { get; set; }

        internal bool IsSubmitted { get; private set; }

        /// <summary>
        /// Its places in the lists, so that it leaves them at once wherever it stands.
        /// </summary>
        internal LinkedListNode<Update> InPending { get; }

        internal LinkedListNode<Update> InWaiting { get; }

        /// <summary>The library has copied the texts.</summary>
        internal void Submitted()
        {
            IsSubmitted = true;
            (UserJson, CallJson) = ([], null);
        }

        internal void Finish(Outcome outcome) => _finish(outcome);
    }
}
