using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace CommBox;

/// <summary>
/// One enumeration of many updates: one task submits them to a batch, and the caller collects the
/// results.
/// </summary>
internal sealed class BatchRun
{
    private readonly ClientHandle _client;
    private readonly UpdateQueue _queue;
    private readonly IProgress<CommBoxBatchStatistics>? _progress;

    /// <summary>Cancelled when the enumeration ends, so that the source ends too.</summary>
    private readonly CancellationTokenSource _ending = new();

    /// <summary>
    /// How many more updates the feeding task may read ahead. One less than the maximum at the
    /// start, because the task reads the first update without acquiring room.
    /// </summary>
    private readonly SemaphoreSlim _room;

    /// <summary>
    /// The finished updates, each converted when it is collected. Bounded by the room.
    /// </summary>
    private readonly Channel<Func<CommBoxBatchResult>> _results =
        Channel.CreateUnbounded<Func<CommBoxBatchResult>>();

    /// <summary>
    /// The number of refused updates by code. They never reached the batch, whose statistics do not
    /// include them.
    /// </summary>
    private readonly ConcurrentDictionary<int, long> _refused = new();

    /// <summary>Calls that activities and meters observe, and that have not ended.</summary>
    private readonly ConcurrentDictionary<ObservedCall, byte> _observed = new();

    /// <summary>
    /// The exception that ends the results: that of the source or of the progress handler,
    /// whichever failed first.
    /// </summary>
    private Exception? _failure;

    /// <summary>
    /// The number of rows that the source has returned. Used by the feeding task alone.
    /// </summary>
    private long _rows;

    private BatchRun(ClientHandle client, CommBoxBatchOptions options)
    {
        _client = client;
        string optionsJson = options.ToJson();
        _queue = new UpdateQueue(
            () => new BatchHandle(client, optionsJson, CommBoxBatchOptions.PropertyFor), options.Room);
        _queue.Open();
        client.Queues.Add(_queue);
        _progress = options.Progress;
        _room = new SemaphoreSlim(options.Room - 1);
    }

    internal static async IAsyncEnumerable<CommBoxBatchResult> Results(
        ClientHandle client,
        IAsyncEnumerable<UserUpdate> updates,
        CommBoxBatchOptions options,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var run = new BatchRun(client, options);
        using CancellationTokenRegistration whenCancelled =
            cancellationToken.UnsafeRegister(static run => ((BatchRun)run!)._ending.Cancel(), run);
        // The source may block, and must not run in the caller's context. Nothing waits for this
        // task, because a source that ignores the token may take long to return its next update.
        // The task disposes the source when it ends.
        _ = Task.Run(() => run.FeedAsync(updates), CancellationToken.None);
        Task reporting = run.ReportAsync();
        bool isComplete = false;
        try
        {
            while (await run._results.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                if (run._results.Reader.TryRead(out Func<CommBoxBatchResult>? read))
                {
                    yield return read();
                    run._room.Release();
                }
            }
            isComplete = true;
        }
        finally
        {
            CommBoxBatchStatistics? last = run._queue.Stats();
            run._queue.End();
            run.LeaveObserved();
            _ = run._ending.CancelAsync();
            await reporting.ConfigureAwait(false);
            run.ReportLast(last, mayThrow: isComplete);
        }
    }

    /// <summary>
    /// Reads the source as fast as there is room, and completes the results after the last one.
    /// </summary>
    private async Task FeedAsync(IAsyncEnumerable<UserUpdate> updates)
    {
        CancellationToken ending = _ending.Token;
        try
        {
            await foreach (UserUpdate update in updates.WithCancellation(ending).ConfigureAwait(false))
            {
                if (ending.IsCancellationRequested || !Add(update))
                {
                    break;
                }
                await _room.WaitAsync(ending).ConfigureAwait(false);
            }
        }
        catch (Exception failure)
        {
            Fail(failure);
        }
        await CompleteAsync().ConfigureAwait(false);
    }

    private void Fail(Exception failure)
    {
        Interlocked.CompareExchange(ref _failure, failure, null);
        _queue.Stop();
    }

    /// <summary>Completes the results after the last one.</summary>
    private async Task CompleteAsync()
    {
        await _queue.CloseAsync().ConfigureAwait(false);
        _results.Writer.TryComplete(_failure);
    }

    /// <summary>Returns false if the batch accepts no more updates.</summary>
    private bool Add(UserUpdate? row)
    {
        long index = _rows++;
        UserUpdate update = row ?? new UserUpdate(0, "");
        byte[] userJson;
        byte[]? callJson;
        ObservedCall? call = null;
        try
        {
            userJson = row is null
                ? throw new CommBoxValidationException(Native.InvalidUser, $"row {index} of the source is null")
                : row.ToTerminated();
            call = Observe();
            CommBoxCallOptions? options = call is null ? update.Options : call.WithTrace(update.Options);
            callJson = Utf8.TerminateOrNull(options?.ToJson(), "options");
        }
        catch (Exception thrown)
        {
            End(call, thrown);
            // Reading an update runs the caller's code, such as an enumerator of Content. An
            // exception from it concerns this row alone.
            CommBoxValidationException error = thrown as CommBoxValidationException ?? new(
                Native.InvalidUser, $"reading the update threw {thrown.GetType().Name}; see the inner exception", thrown);
            CountRefused(error.Code);
            _results.Writer.TryWrite(() => new(update, Result: null, error) { Index = index });
            return true;
        }
        bool accepted;
        try
        {
            accepted = _queue.Add(new(
                update.UserId,
                userJson,
                callJson,
                outcome => Finish(update, outcome, index, call)));
        }
        catch (Exception thrown)
        {
            End(call, thrown);
            throw;
        }
        if (!accepted)
        {
            CountRefused(Native.Cancelled);
        }
        return accepted;
    }

    private void Finish(UserUpdate update, Outcome outcome, long index, ObservedCall? call)
    {
        call?.EndsNow();
        if (outcome.Code == Native.InvalidOptions)
        {
            CountRefused(outcome.Code);
        }
        _results.Writer.TryWrite(() =>
        {
            CommBoxBatchResult result = CommBoxBatchResult.From(update, outcome) with { Index = index };
            // Listeners run where the result is collected, never on the library's thread.
            End(call, result);
            return result;
        });
    }

    /// <summary>
    /// Starts the activity of an update, as a child of the program's current one.
    /// </summary>
    private ObservedCall? Observe()
    {
        if (!Telemetry.IsWanted)
        {
            return null;
        }
        ObservedCall call = Telemetry.BeginDetached(_client);
        _observed.TryAdd(call, 0);
        return call;
    }

    private void End(ObservedCall? call, CommBoxBatchResult result)
    {
        if (call is null || !_observed.TryRemove(call, out _))
        {
            return;
        }
        if (result.IsSuccess)
        {
            call.Succeeded(result.Result);
        }
        else
        {
            call.Failed(result.Error);
        }
    }

    private void End(ObservedCall? call, Exception error)
    {
        if (call is not null && _observed.TryRemove(call, out _))
        {
            call.Failed(error);
        }
    }

    /// <summary>
    /// Ends the activities of updates whose results nobody collects after the enumeration was left.
    /// </summary>
    private void LeaveObserved()
    {
        while (!_observed.IsEmpty && _results.Reader.TryRead(out Func<CommBoxBatchResult>? read))
        {
            read();
        }
        foreach (ObservedCall call in _observed.Keys)
        {
            if (_observed.TryRemove(call, out _))
            {
                call.Abandon();
            }
        }
    }

    private void CountRefused(int code) => _refused.AddOrUpdate(code, 1, (_, count) => count + 1);

    /// <summary>
    /// Reports every second. If the handler throws, the batch ends, as it does if the source
    /// throws.
    /// </summary>
    private async Task ReportAsync()
    {
        if (_progress is null)
        {
            return;
        }
        try
        {
            while (true)
            {
                await Task.Delay(TimeSpan.FromSeconds(1), _ending.Token).ConfigureAwait(false);
                Report(_queue.Stats());
            }
        }
        catch (OperationCanceledException) when (_ending.IsCancellationRequested)
        {
            // The normal end.
        }
        catch (Exception failure)
        {
            Fail(failure);
            // Not awaited: the end of the enumeration waits for this task, and may come first.
            _ = CompleteAsync();
        }
    }

    /// <summary>
    /// Makes the last report. An exception of the handler must not replace another one.
    /// </summary>
    private void ReportLast(CommBoxBatchStatistics? stats, bool mayThrow)
    {
        try
        {
            Report(stats);
        }
        catch (Exception) when (!mayThrow)
        {
            // Another exception is being thrown, or the caller has left.
        }
    }

    private void Report(CommBoxBatchStatistics? stats)
    {
        if (stats is not null)
        {
            _progress?.Report(stats.Plus(_refused));
        }
    }
}
