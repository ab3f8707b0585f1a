namespace CommBox;

/// <summary>What threads and tasks of newer .NET have, by the names that it has there.</summary>
internal static class Threads
{
    internal static void UnsafeStart(this Thread thread) => WithoutContext(() =>
    {
        thread.Start();
        return true;
    });

    internal static CancellationTokenRegistration UnsafeRegister(
        this CancellationToken token, Action<object?> whenCancelled, object? state) =>
        WithoutContext(() => token.Register(whenCancelled, state));

    internal static Task CancelAsync(this CancellationTokenSource source) => Task.Run(source.Cancel);

    internal static async Task WaitAsync(this Task task, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var cancelled = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        using (cancellationToken.UnsafeRegister(
            static cancelled => ((TaskCompletionSource<bool>)cancelled!).TrySetResult(true), cancelled))
        {
            if (await Task.WhenAny(task, cancelled.Task).ConfigureAwait(false) != task)
            {
                cancellationToken.ThrowIfCancellationRequested();
            }
        }
        await task.ConfigureAwait(false);
    }

    /// <summary>What is started here keeps nothing of the caller's ExecutionContext.</summary>
    private static T WithoutContext<T>(Func<T> start)
    {
        if (ExecutionContext.IsFlowSuppressed())
        {
            return start();
        }
        using (ExecutionContext.SuppressFlow())
        {
            return start();
        }
    }
}
