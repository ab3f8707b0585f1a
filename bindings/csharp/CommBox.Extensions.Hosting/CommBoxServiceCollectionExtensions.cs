using CommBox;
using CommBox.Extensions.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers CommBox clients as services.</summary>
public static class CommBoxServiceCollectionExtensions
{
    /// <summary>
    /// Registers one client for the whole program as <see cref="ICommBoxClient"/> and
    /// <see cref="CommBoxClient"/>. Its settings are a section of the configuration, with the names
    /// of <see cref="CommBoxClientOptions"/>.
    /// </summary>
    /// <remarks>
    /// <para>The settings are checked when the host starts, and an unknown one is rejected. A
    /// changed <see cref="CommBoxClientOptions.ApiKey"/> or
    /// <see cref="CommBoxClientOptions.MaxRequestsPerSecond"/> is applied while the program runs.
    /// If changed settings are invalid, they are logged, and the previous ones remain in
    /// effect.</para>
    /// <para>The events of the client are sent to the log "CommBox". When the host stops, the
    /// asynchronous calls that were made finish within its shutdown timeout; those that do not are
    /// cancelled.</para>
    /// </remarks>
    /// <param name="services">The services.</param>
    /// <param name="section">
    /// The section, such as <c>Configuration.GetSection("CommBox")</c>.
    /// </param>
    /// <returns>The same services.</returns>
    public static IServiceCollection AddCommBox(
        this IServiceCollection services, IConfigurationSection section) =>
        services.AddCommBox(Options.Options.DefaultName, section);

    /// <summary>
    /// Registers one client for the whole program as <see cref="ICommBoxClient"/> and
    /// <see cref="CommBoxClient"/>.
    /// </summary>
    /// <inheritdoc cref="AddCommBox(IServiceCollection, IConfigurationSection)" path="/remarks"/>
    /// <param name="services">The services.</param>
    /// <param name="configure">Sets the options.</param>
    /// <returns>The same services.</returns>
    public static IServiceCollection AddCommBox(
        this IServiceCollection services, Action<CommBoxClientOptions> configure) =>
        services.AddCommBox(Options.Options.DefaultName, configure);

    /// <summary>
    /// Registers one of several clients, as a keyed service <see cref="ICommBoxClient"/> and
    /// <see cref="CommBoxClient"/>: <c>[FromKeyedServices("name")] ICommBoxClient client</c>.
    /// </summary>
    /// <inheritdoc cref="AddCommBox(IServiceCollection, IConfigurationSection)" path="/remarks"/>
    /// <param name="services">The services.</param>
    /// <param name="name">The service key, and the name of the options.</param>
    /// <param name="section">The section with its settings.</param>
    /// <returns>The same services.</returns>
    public static IServiceCollection AddCommBox(
        this IServiceCollection services, string name, IConfigurationSection section)
    {
        _ = section ?? throw new ArgumentNullException(nameof(section));
        AddClient(services, name, section);
        services.AddSingleton<IConfigureOptions<CommBoxClientOptions>>(
            new ConfigureFromSection(name, section));
        return services.AddSingleton<IOptionsChangeTokenSource<CommBoxClientOptions>>(
            provider => new SettingsChanges(
                name,
                section,
                provider.GetRequiredService<IOptionsFactory<CommBoxClientOptions>>(),
                provider.GetRequiredService<ILoggerFactory>()));
    }

    /// <summary>
    /// Registers one of several clients, as a keyed service <see cref="ICommBoxClient"/> and
    /// <see cref="CommBoxClient"/>: <c>[FromKeyedServices("name")] ICommBoxClient client</c>.
    /// </summary>
    /// <inheritdoc cref="AddCommBox(IServiceCollection, IConfigurationSection)" path="/remarks"/>
    /// <param name="services">The services.</param>
    /// <param name="name">The service key, and the name of the options.</param>
    /// <param name="configure">Sets its options.</param>
    /// <returns>The same services.</returns>
    public static IServiceCollection AddCommBox(
        this IServiceCollection services, string name, Action<CommBoxClientOptions> configure)
    {
        _ = configure ?? throw new ArgumentNullException(nameof(configure));
        AddClient(services, name, section: null);
        return services.Configure(name, configure);
    }

    private static void AddClient(
        IServiceCollection services, string name, IConfigurationSection? section)
    {
        _ = services ?? throw new ArgumentNullException(nameof(services));
        _ = name ?? throw new ArgumentNullException(nameof(name));
        services.AddLogging();
        services.AddOptions<CommBoxClientOptions>(name).ValidateOnStart();
        services.AddSingleton(new ClientRegistration(name, section));
        services.TryAddSingleton<ClientRegistry>();
        services.TryAddEnumerable(
        [
            ServiceDescriptor.Singleton<IValidateOptions<CommBoxClientOptions>, OptionsValidator>(),
            ServiceDescriptor.Singleton<IHostedService, ClientRegistry>(
                provider => provider.GetRequiredService<ClientRegistry>()),
        ]);
        if (name.Length == 0)
        {
            // Not as a keyed service, so that code that reads the collection without knowing keys
            // still works.
            services.TryAddSingleton(
                provider => provider.GetRequiredService<ClientRegistry>().Get(name).Client);
            services.TryAddSingleton<ICommBoxClient>(
                provider => provider.GetRequiredService<CommBoxClient>());
        }
        else
        {
            services.TryAddKeyedSingleton(
                name,
                (provider, _) => provider.GetRequiredService<ClientRegistry>().Get(name).Client);
            services.TryAddKeyedSingleton<ICommBoxClient>(
                name, (provider, _) => provider.GetRequiredKeyedService<CommBoxClient>(name));
        }
    }
}
