namespace CommBox;

/// <content>Waiting for asynchronous calls, cancelling calls, and closing a client.</content>
public partial class CommBoxClient
{
    /// <summary>
    /// The number of asynchronous calls that have not ended. Those of <c>UpdateUsersAsync</c> do
    /// not count: their results are enumerated.
    /// </summary>
    public virtual int PendingCount => _queue.Pending;

    /// <summary>
    /// Waits until the asynchronous calls that were made before have ended, whether they succeeded
    /// or failed. It does not wait for calls that are made meanwhile.
    /// </summary>
    /// <param name="cancellationToken">Cancels the wait, but no call.</param>
    /// <returns>A task that ends with the last of the calls.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public virtual Task FlushAsync(CancellationToken cancellationToken = default) =>
        _queue.FlushAsync().WaitAsync(cancellationToken);

    /// <summary>
    /// Cancels every call that is in flight on the client, on any thread: each throws
    /// <see cref="OperationCanceledException"/> within about 100 ms. Its inner exception is null if
    /// the call had not begun and nothing was sent. Calls that begin later are not affected.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void Cancel()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        _queue.CancelAll();
        if (!_handle.IsInvalid)
        {
            _handle.Cancel();
        }
    }

    /// <summary>
    /// Closes the client, and waits until the asynchronous calls that were made before have ended.
    /// If the token is cancelled first, the remaining calls are cancelled, and each throws
    /// <see cref="OperationCanceledException"/>.
    /// </summary>
    /// <param name="cancellationToken">
    /// Limits the wait, for example to the shutdown timeout of a host.
    /// </param>
    /// <returns>A task that ends when every call has ended. It is not cancelled.</returns>
    public virtual async Task CloseAsync(CancellationToken cancellationToken = default)
    {
        Task ended = _queue.CloseAsync();
        using (cancellationToken.UnsafeRegister(static queue => ((UpdateQueue)queue!).CancelAll(), _queue))
        {
            await ended.ConfigureAwait(false);
        }
        Dispose();
    }

    /// <summary>
    /// Closes the client, and waits until the asynchronous calls that were made before have ended:
    /// see <see cref="CloseAsync"/>.
    /// </summary>
    /// <returns>A task that ends when every call has ended.</returns>
    public async ValueTask DisposeAsync()
    {
        await CloseAsync().ConfigureAwait(false);
        GC.SuppressFinalize(this);
    }

    /// <summary>
    /// Closes the client. It does not block. Calls that were made before, including asynchronous
    /// ones, continue and end as usual, and can still be cancelled by their tokens.
    /// <see cref="DisposeAsync"/> waits for them.
    /// </summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes the client.</summary>
    /// <param name="disposing">
    /// True if <see cref="Dispose()"/> calls this method. The handle has its own finalizer.
    /// </param>
    protected virtual void Dispose(bool disposing)
    {
        if (disposing)
        {
            _ = EndWhenEmptyAsync();
            _handle.Dispose();
        }
    }

    private async Task EndWhenEmptyAsync()
    {
        await _queue.CloseAsync().ConfigureAwait(false);
        _queue.End();
    }
}
