namespace CommBox;

/// <summary>
/// Queues updates without blocking: it has a batch of the library, and a thread that collects the
/// results. The thread exists only while updates are pending, and a little longer in case more
/// follow.
/// </summary>
/// <param name="newBatch">Creates the batch for the first update.</param>
/// <param name="limit">
/// The maximum number of updates in the batch: no more than the batch has room for, so that
/// submitting never blocks. Further updates are queued here.
/// </param>
/// <param name="limitPerUser">
/// The maximum number of them for one user. Those are sent one at a time, so the limit leaves room
/// for other users.
/// </param>
internal sealed partial class UpdateQueue(Func<BatchHandle> newBatch, int limit, int limitPerUser = int.MaxValue)
{
    private readonly object _lock = new();

    /// <summary>All updates without an outcome, in the order in which they were added.</summary>
    private readonly LinkedList<Update> _pending = new();

    /// <summary>The updates that are in the batch, by their tags.</summary>
    private readonly Dictionary<ulong, Update> _submitted = [];

    /// <summary>The updates that wait for room in the batch.</summary>
    private readonly LinkedList<Update> _waiting = new();

    /// <summary>The users of all pending updates.</summary>
    private readonly Dictionary<long, User> _users = [];

    /// <summary>
    /// The flushes that wait for the outcomes of all updates up to a number, the lowest number
    /// first.
    /// </summary>
    private readonly Queue<(ulong Last, TaskCompletionSource<bool> Told)> _flushes = new();

    private BatchHandle? _batch;

    private ulong _last;
    private bool _closed;
    private bool _ended;

    /// <summary>The number of updates that have no outcome yet.</summary>
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
    /// Sends an update, after those of the same user that were added before.
    /// <paramref name="userJson"/> ends in NUL.
    /// </summary>
    /// <returns>The outcome.</returns>
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

    /// <summary>Adds an update, which receives its outcome later.</summary>
    /// <returns>
    /// False if the batch refused it and will refuse all that follow. The outcome contains the
    /// reason.
    /// </returns>
    /// <exception cref="ObjectDisposedException">The queue is closed.</exception>
    /// <exception cref="CommBoxException">A thread could not be started.</exception>
    internal bool Add(Update update)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(CommBoxClient));
            // Do everything that may fail before the library has the update.
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
            // First the updates that would otherwise be submitted as soon as others finish.
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
    /// Stops the batch: updates that were not sent are cancelled, those in flight finish, and no
    /// more are accepted.
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
    /// Returns a task that completes when all updates that were added until now have their
    /// outcomes.
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

    /// <summary>Accepts no more updates. The task completes when all have their outcomes.</summary>
    internal Task CloseAsync()
    {
        lock (_lock)
        {
            _closed = true;
        }
        return FlushAsync();
    }

    /// <summary>
    /// Ends at once: updates that were not sent are dropped, those in flight are cancelled, and no
    /// outcome is reported.
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

    /// <summary>
    /// Returns the statistics of the batch; null if it has ended, or was never created.
    /// </summary>
    internal CommBoxBatchStatistics? Stats()
    {
        lock (_lock)
        {
            return _ended ? null : _batch?.Stats();
        }
    }

    /// <summary>
    /// Returns the number of updates that wait to be sent, here and in the batch.
    /// </summary>
    internal long CountQueued()
    {
        lock (_lock)
        {
            return _pending.Count - _submitted.Count + (_submitted.Count > 0 ? Stats()?.Queued ?? 0 : 0);
        }
    }

    /// <summary>Creates the batch before the first update needs it.</summary>
    /// <exception cref="CommBoxValidationException">Its options are invalid.</exception>
    internal void Open()
    {
        lock (_lock)
        {
            EnsureBatch();
        }
    }

    private void EnsureBatch() => _batch ??= newBatch();

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
            // Invalid options concern this update alone.
            return refusal.Code == Native.InvalidOptions;
        }
        update.Submitted();
        _submitted.Add(update.Number, update);
        return true;
    }

    /// <summary>Reports an outcome, and submits the updates that waited for it.</summary>
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
}
