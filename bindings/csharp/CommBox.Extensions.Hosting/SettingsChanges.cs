using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace CommBox.Extensions.Hosting;

/// <summary>
/// Reports changed settings after checking them. Invalid settings are logged, and the previous ones
/// stay in effect, so that a file that is being written or contains a mistake does not stop a
/// service.
/// </summary>
internal sealed class SettingsChanges : IOptionsChangeTokenSource<CommBoxClientOptions>, IDisposable
{
    private readonly IOptionsFactory<CommBoxClientOptions> _options;
    private readonly ILogger _logger;
    private readonly IDisposable _subscription;
    private CancellationTokenSource _changed = new();

    internal SettingsChanges(
        string name,
        IConfigurationSection section,
        IOptionsFactory<CommBoxClientOptions> options,
        ILoggerFactory loggers)
    {
        (Name, _options) = (name, options);
        _logger = loggers.CreateLogger(LogForwarder.Category);
        _subscription = ChangeToken.OnChange(section.GetReloadToken, Check);
    }

    public string Name { get; }

    public IChangeToken GetChangeToken() =>
        new CancellationChangeToken(Volatile.Read(ref _changed).Token);

    public void Dispose() => _subscription.Dispose();

    private void Check()
    {
        try
        {
            _options.Create(Name);
        }
        catch (OptionsValidationException error)
        {
            _logger.SettingsRefused(error.Message);
            return;
        }
        Interlocked.Exchange(ref _changed, new CancellationTokenSource()).Cancel();
    }
}
