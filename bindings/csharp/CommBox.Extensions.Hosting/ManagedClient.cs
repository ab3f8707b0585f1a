using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace CommBox.Extensions.Hosting;

/// <summary>A client and what the host does for it. The container disposes the client.</summary>
internal sealed class ManagedClient
{
    private readonly object _lock = new();
    private readonly string _title;
    private readonly ILogger _logger;
    private readonly LogForwarder _forwarder;
    private readonly CommBoxLogLevel _handlerLevel = CommBoxLogLevel.Off;
    private CommBoxClientOptions _options;

    /// <summary>Creates the client.</summary>
    /// <param name="name">The name of its options.</param>
    /// <param name="options">The client owns them from now on.</param>
    /// <param name="logger">The log of all clients.</param>
    internal ManagedClient(string name, CommBoxClientOptions options, ILogger logger)
    {
        (_title, _options, _logger) = (ClientRegistration.Title(name), options, logger);
        _forwarder = new LogForwarder(logger, name);
        if (options.Log is { } handler)
        {
            _handlerLevel = options.LogLevel;
            options.Log = logEvent =>
            {
                Observe(logEvent);
                if (logEvent.Level <= _handlerLevel)
                {
                    handler(logEvent);
                }
            };
        }
        else
        {
            options.Log = Observe;
        }
        options.LogLevel = LogLevel;
        Client = new CommBoxClient(options: options);
        Outcomes = new Outcomes(Client);
    }

    /// <summary>
    /// The level of events that the host's log or a handler of the options receives.
    /// </summary>
    private CommBoxLogLevel LogLevel =>
        (CommBoxLogLevel)Math.Max((int)_forwarder.Level, (int)_handlerLevel);

    internal CommBoxClient Client { get; }

    /// <summary>What the health check knows.</summary>
    internal Outcomes Outcomes { get; }

    /// <summary>Applies changed filters of the host's log.</summary>
    internal void ApplyLogFilters()
    {
        try
        {
            Client.SetLogLevel(LogLevel);
        }
        catch (ObjectDisposedException)
        {
            // The host has stopped.
        }
    }

    private void Observe(CommBoxLogEvent logEvent)
    {
        Outcomes?.Observe(logEvent);
        _forwarder.Forward(logEvent);
    }

    /// <summary>Applies the changed options that a running client supports.</summary>
    internal void Apply(CommBoxClientOptions options)
    {
        lock (_lock)
        {
            List<string> changed = [.. Settings.Changed(_options, options)];
            _options = options;
            try
            {
                Apply(options, changed);
            }
            catch (ObjectDisposedException)
            {
                // The host has stopped.
            }
        }
    }

    private void Apply(CommBoxClientOptions options, List<string> changed)
    {
        if (changed.Contains(nameof(options.ApiKey)) && options.ApiKey is { } key)
        {
            Client.SetApiKey(key);
            Outcomes.ForgetKey();
            _logger.KeyReplaced(_title);
            changed.Remove(nameof(options.ApiKey));
        }
        if (changed.Remove(nameof(options.MaxRequestsPerSecond)))
        {
            double rate = options.MaxRequestsPerSecond ?? 0;
            Client.SetMaxRequestsPerSecond(rate);
            _logger.RateChanged(_title, rate);
        }
        if (changed.Count > 0)
        {
            _logger.NeedsRestart(_title, string.Join(", ", changed));
        }
    }

    /// <summary>
    /// Closes the client, and waits for its asynchronous calls. If the token is cancelled, the
    /// remaining calls are cancelled.
    /// </summary>
    internal async Task DrainAsync(CancellationToken cancellationToken)
    {
        if (Client.PendingCount is > 0 and var pending)
        {
            _logger.Draining(_title, pending);
        }
        int left = cancellationToken.IsCancellationRequested ? Client.PendingCount : 0;
        // Callbacks run in reverse order: this one counts before CloseAsync() cancels the calls.
        Task closed = Client.CloseAsync(cancellationToken);
        using (cancellationToken.Register(() => left = Client.PendingCount))
        {
            await closed.ConfigureAwait(false);
        }
        if (left > 0)
        {
            _logger.Cancelled(_title, left);
        }
    }
}
