using System.Runtime.CompilerServices;

namespace CommBox;

/// <content>Updating many users.</content>
public partial class CommBoxClient
{
    /// <summary>
    /// Updates many users, and returns each result, once, in the order in which the updates finish.
    /// Updates of one user are sent one at a time, in the order of the source. Nothing is sent
    /// before the results are enumerated, and each enumeration sends again.
    /// </summary>
    /// <param name="updates">
    /// The updates. They are read only as fast as they are sent and their results are collected, at
    /// most <see cref="CommBoxBatchOptions.QueueLimit"/> ahead, so the memory does not depend on
    /// their number.
    /// </param>
    /// <param name="options">
    /// Concurrency, progress and other options; null for the defaults.
    /// </param>
    /// <param name="cancellationToken">Ends the enumeration with an exception.</param>
    /// <returns>
    /// The results. An update that fails or is invalid is a result with an
    /// <see cref="CommBoxBatchResult.Error"/>, and the others continue; so is one that cannot be
    /// read, or that is null. If the source fails, the updates that were not sent are returned as
    /// cancelled, and then the source's exception is thrown.
    /// </returns>
    /// <remarks>
    /// Leaving the enumeration ends the batch at once: pending updates are dropped, and those in
    /// flight are cancelled, with an unknown result. To stop and still receive the result of every
    /// update, end the source. The source is read on the thread pool. If it blocks, the batch does
    /// not wait for it, and it is disposed when it returns. <see cref="Cancel"/> cancels the
    /// updates in flight, which are returned as cancelled, and the others continue;
    /// <see cref="Dispose()"/> lets all of them finish. <see cref="CommBoxClientOptions.Timeout"/>
    /// starts when an update is dispatched. A progress handler that throws ends the batch like a
    /// source that fails.
    /// </remarks>
    /// <exception cref="CommBoxValidationException">An option is invalid.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual IAsyncEnumerable<CommBoxBatchResult> UpdateUsersAsync(
        IAsyncEnumerable<UserUpdate> updates,
        CommBoxBatchOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(updates);
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        return _handle.IsInvalid
            ? OneByOne(updates, cancellationToken)
            : BatchRun.Results(_handle, updates, options ?? new CommBoxBatchOptions(), cancellationToken);
    }

    /// <inheritdoc cref="UpdateUsersAsync(IAsyncEnumerable{UserUpdate}, CommBoxBatchOptions, CancellationToken)"/>
    public virtual IAsyncEnumerable<CommBoxBatchResult> UpdateUsersAsync(
        IEnumerable<UserUpdate> updates,
        CommBoxBatchOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(updates);
        return UpdateUsersAsync(Each(updates), options, cancellationToken);
    }

    /// <summary>Sends many updates for a test double: by its own single call for each.</summary>
    private async IAsyncEnumerable<CommBoxBatchResult> OneByOne(
        IAsyncEnumerable<UserUpdate> updates,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        long index = 0;
        await foreach (UserUpdate update in updates.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            (UpdateResult? result, CommBoxException? error) = (null, null);
            try
            {
                result = await UpdateUserJsonAsync(update.UserId, update.ToJson(), update.Options, cancellationToken)
                    .ConfigureAwait(false);
            }
            catch (CommBoxException failure)
            {
                error = failure;
            }
            yield return new CommBoxBatchResult(update, result, error) { Index = index++ };
        }
    }

    private static async IAsyncEnumerable<UserUpdate> Each(IEnumerable<UserUpdate> updates)
    {
        foreach (UserUpdate update in updates)
        {
            yield return update;
        }
        // Nothing is awaited, but without an await the compiler warns about an asynchronous method.
        await Task.CompletedTask.ConfigureAwait(false);
    }
}
