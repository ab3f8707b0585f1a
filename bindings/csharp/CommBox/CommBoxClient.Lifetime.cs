namespace CommBox;

/// <content>Waiting for asynchronous calls, and the end of a client.</content>
public partial class CommBoxClient
{
    /// <summary>
    /// How many asynchronous calls have not ended. Those of <c>UpdateUsersAsync</c> are not
    /// counted: who enumerates the results knows of each.
    /// </summary>
    public virtual int PendingCount => _queue.Pending;

    /// <summary>
    /// Waits until the asynchronous calls that were made before have ended, whatever came of them.
    /// Others may be made meanwhile; they are not waited for.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait, and no call.</param>
    /// <returns>A task that ends with the last of the calls.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public virtual Task FlushAsync(CancellationToken cancellationToken = default) =>
        _queue.FlushAsync().WaitAsync(cancellationToken);

    /// <summary>
    /// Closes the client, and waits until the asynchronous calls that were made before have ended.
    /// If the token is cancelled first, those that have not ended are cancelled, and each throws
    /// <see cref="OperationCanceledException"/>.
    /// </summary>
    /// <param name="cancellationToken">
    /// Bounds the wait, such as by the time that a host has to stop.
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
    /// Closes the client. It does not wait: calls that were made before, asynchronous ones too,
    /// finish as if nothing happened, and can be cancelled by their tokens still.
    /// <see cref="DisposeAsync"/> waits for them.
    /// </summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes the client.</summary>
    /// <param name="disposing">
    /// Whether <see cref="Dispose()"/> calls; the handle has a finalizer of its own.
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
