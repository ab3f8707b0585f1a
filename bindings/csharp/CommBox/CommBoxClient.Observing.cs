namespace CommBox;

/// <content>Statistics, and a check of the path to the server.</content>
public partial class CommBoxClient
{
    /// <summary>
    /// Returns the statistics of the client: calls, failures, connections, rate limit and latency.
    /// </summary>
    /// <returns>
    /// The present figures. Counting takes no lock: they may differ from one another by the calls
    /// that run while they are read.
    /// </returns>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual CommBoxStatistics GetStatistics()
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        return _handle.IsInvalid ? new CommBoxStatistics() : _handle.Statistics();
    }

    /// <summary>
    /// Checks the path from this machine to the server: proxy, DNS lookup, connections, TLS and its
    /// certificates, HTTP, and both clocks. It sends no update and no API key. Blocks for at most
    /// <see cref="CommBoxClientOptions.Timeout"/>.
    /// </summary>
    /// <param name="cancellationToken">Cancels the call within about 100 ms.</param>
    /// <returns>
    /// A JSON object, as <c>commbox_client_diagnose_json</c> in <c>commbox.h</c> documents it. A
    /// step that was not reached is null.
    /// </returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The client is disposed.</exception>
    public virtual string DiagnoseJson(CancellationToken cancellationToken = default)
    {
        ThrowIfUnusable();
        cancellationToken.ThrowIfCancellationRequested();
        return _handle.DiagnoseJson(cancellationToken);
    }
}
