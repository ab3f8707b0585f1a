using System.Collections.Concurrent;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>A host with a client, whose settings can be changed while it runs.</summary>
internal sealed class Service : IAsyncDisposable
{
    private readonly Changeable _settings = new();
    private IHost? _host;

    internal Service(params (string Key, string? Value)[] settings)
    {
        Builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        foreach ((string key, string? value) in settings)
        {
            _settings.Data[key] = value;
        }
        Builder.Configuration.Sources.Add(_settings);
        Builder.Services.Configure<HostOptions>(
            options => options.ShutdownTimeout = TimeSpan.FromSeconds(20));
        Builder.Logging.AddProvider(Log).AddFilter("CommBox", LogLevel.Information);
    }

    /// <summary>A client of the sandbox by the section "CommBox".</summary>
    internal Service(Sandbox sandbox, params (string Key, string? Value)[] settings) : this(
        [
            ("CommBox:ApiKey", Sandbox.ApiKey),
            ("CommBox:BaseUrl", sandbox.Url),
            ("CommBox:RetryBase", "00:00:00.001"),
            .. settings,
        ])
    {
        Builder.Services.AddCommBox(Builder.Configuration.GetSection("CommBox"));
    }

    internal HostApplicationBuilder Builder { get; }

    internal Log Log { get; } = new();

    internal IHost Running => _host ??= Builder.Build();

    internal ICommBoxClient Client => Running.Services.GetRequiredService<ICommBoxClient>();

    internal async Task<Service> Start()
    {
        await Running.StartAsync();
        return this;
    }

    /// <summary>Changes settings while the program runs, as a changed file does.</summary>
    internal void Change(params (string Key, string? Value)[] settings)
    {
        foreach ((string key, string? value) in settings)
        {
            _settings.Data.Remove(key);
            if (value is not null)
            {
                _settings.Data[key] = value;
            }
        }
        ((IConfigurationRoot)Builder.Configuration).Reload();
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.StopAsync();
            await ((IAsyncDisposable)_host).DisposeAsync();
        }
    }

    private sealed class Changeable : IConfigurationSource
    {
        internal Dictionary<string, string?> Data { get; } = new(StringComparer.OrdinalIgnoreCase);

        public IConfigurationProvider Build(IConfigurationBuilder builder) => new Provider(Data);

        private sealed class Provider(Dictionary<string, string?> data) : ConfigurationProvider
        {
            public override void Load() =>
                Data = new Dictionary<string, string?>(data, StringComparer.OrdinalIgnoreCase);
        }
    }
}

/// <summary>What was logged.</summary>
internal sealed class Log : ILoggerProvider
{
    private readonly ConcurrentQueue<Entry> _entries = new();

    internal sealed record Entry(
        string Category,
        LogLevel Level,
        EventId Event,
        string Message,
        Dictionary<string, object?> Fields);

    internal Entry[] Entries => [.. _entries];

    internal string[] Events =>
    [
        .. _entries
            .Where(entry => entry.Category == "CommBox")
            .Select(entry => entry.Event.Name ?? ""),
    ];

    internal void Clear() => _entries.Clear();

    public ILogger CreateLogger(string categoryName) => new Logger(categoryName, _entries);

    public void Dispose()
    {
    }

    private sealed class Logger(string category, ConcurrentQueue<Entry> entries) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            var fields = new Dictionary<string, object?>(
                state as IEnumerable<KeyValuePair<string, object?>> ?? []);
            entries.Enqueue(new(category, logLevel, eventId, formatter(state, exception), fields));
        }
    }
}
