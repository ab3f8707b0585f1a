namespace CommBox;

/// <content>Options that can be changed while calls are in flight.</content>
public partial class CommBoxClient
{
    /// <summary>
    /// Replaces the API key. Every attempt that starts afterwards uses the new key, on any thread.
    /// </summary>
    /// <param name="apiKey">The new key.</param>
    /// <exception cref="CommBoxValidationException">
    /// The key is malformed. The client keeps its present key.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void SetApiKey(string apiKey)
    {
        ArgumentNullException.ThrowIfNull(apiKey);
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if (!_handle.IsInvalid)
        {
            _handle.SetApiKey(apiKey);
        }
    }

    /// <summary>
    /// Sets <see cref="CommBoxClientOptions.MaxRequestsPerSecond"/>, for every request from now on,
    /// including those of pending calls.
    /// </summary>
    /// <param name="rate">The rate, 0.001 to 1,000,000; 0 removes the limit.</param>
    /// <exception cref="CommBoxValidationException">
    /// The rate is out of range. The client keeps its present limit.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void SetMaxRequestsPerSecond(double rate)
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if (!_handle.IsInvalid)
        {
            _handle.SetMaxRequestsPerSecond(rate);
        }
    }

    /// <summary>
    /// Sets <see cref="CommBoxClientOptions.LogLevel"/>. It has no effect without a
    /// <see cref="CommBoxClientOptions.Log"/>.
    /// </summary>
    /// <param name="level">
    /// The level: the log receives its events and those of the levels before it.
    /// </param>
    /// <exception cref="CommBoxValidationException">The level is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual void SetLogLevel(CommBoxLogLevel level)
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if (level is < CommBoxLogLevel.Off or > CommBoxLogLevel.Trace)
        {
            throw new CommBoxValidationException($"{nameof(level)} must be from Off to Trace");
        }
        if (!_handle.IsInvalid)
        {
            _handle.SetLogLevel(level);
        }
    }
}
