using System.Collections.Concurrent;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace CommBox.Extensions.Hosting;

/// <summary>
/// The clients of a host. Creates each when it is first requested or when the host starts, applies
/// changed options to it, and drains it after all services have stopped.
/// </summary>
internal sealed class ClientRegistry : IHostedLifecycleService, IDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<ManagedClient>> _clients = new();
    private readonly IOptionsFactory<CommBoxClientOptions> _options;
    private readonly ILogger _logger;
    private readonly IDisposable? _changes;
    private readonly IDisposable? _filterChanges;

    public ClientRegistry(
        IEnumerable<ClientRegistration> registrations,
        IOptionsMonitor<CommBoxClientOptions> monitor,
        IOptionsFactory<CommBoxClientOptions> options,
        ILoggerFactory loggers,
        IOptionsMonitor<LoggerFilterOptions> filters)
    {
        _options = options;
        _logger = loggers.CreateLogger(LogForwarder.Category);
        foreach (ClientRegistration registration in registrations)
        {
            string name = registration.Name;
            _clients.TryAdd(
                name, new(() => new ManagedClient(name, _options.Create(name), _logger)));
        }
        _changes = monitor.OnChange(Apply);
        // The logger factory subscribed first, so it has applied the new filters when this runs.
        _filterChanges = filters.OnChange(_ => ApplyLogFilters());
    }

    /// <summary>Returns the client with a name.</summary>
    /// <exception cref="InvalidOperationException">No client has this name.</exception>
    /// <exception cref="OptionsValidationException">Its settings are invalid.</exception>
    internal ManagedClient Get(string name) =>
        _clients.TryGetValue(name, out Lazy<ManagedClient>? client)
            ? client.Value
            : throw new InvalidOperationException(
                $"{ClientRegistration.Title(name)} is not registered: call services.AddCommBox("
                    + (name.Length == 0 ? "section)" : $"\"{name}\", section)"));

    public void Dispose()
    {
        _changes?.Dispose();
        _filterChanges?.Dispose();
        // The container disposes only the clients that it has resolved.
        foreach (Lazy<ManagedClient> client in Made())
        {
            client.Value.Client.Dispose();
        }
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (string name in _clients.Keys)
        {
            Get(name);
        }
        return Task.CompletedTask;
    }

    /// <summary>
    /// Runs after every service has stopped, so no service makes a call any more.
    /// </summary>
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.WhenAll(
        Made().Select(client => client.Value.DrainAsync(cancellationToken)));

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private IEnumerable<Lazy<ManagedClient>> Made() =>
        _clients.Values.Where(client => client.IsValueCreated);

    private void ApplyLogFilters()
    {
        foreach (Lazy<ManagedClient> client in Made())
        {
            client.Value.ApplyLogFilters();
        }
    }

    private void Apply(CommBoxClientOptions options, string? name)
    {
        name ??= Options.DefaultName;
        if (_clients.TryGetValue(name, out Lazy<ManagedClient>? client) && client.IsValueCreated)
        {
            client.Value.Apply(options);
        }
    }
}
