using CommBox.Extensions.Hosting;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds health checks for CommBox clients.</summary>
public static class CommBoxHealthChecksBuilderExtensions
{
    /// <summary>
    /// Adds a health check for the client that was registered without a name. It sends nothing: it
    /// reports the outcome of the client's calls.
    /// </summary>
    /// <remarks>
    /// Unhealthy: an outage, or the server rejected the API key (401) and no call has succeeded
    /// since. Degraded: the server throttles, or all calls that ended since the previous check
    /// failed; updates that were rejected for their content, and cancelled calls, do not count.
    /// </remarks>
    /// <param name="builder">The health checks.</param>
    /// <returns>The same health checks.</returns>
    public static IHealthChecksBuilder AddCommBox(this IHealthChecksBuilder builder) =>
        builder.AddCommBox(Options.Options.DefaultName);

    /// <summary>Adds a health check for a client that was registered with a name.</summary>
    /// <inheritdoc cref="AddCommBox(IHealthChecksBuilder)" path="/remarks"/>
    /// <param name="builder">The health checks.</param>
    /// <param name="clientName">The client's name.</param>
    /// <returns>The same health checks.</returns>
    public static IHealthChecksBuilder AddCommBox(
        this IHealthChecksBuilder builder, string clientName) =>
        builder.AddCommBox(clientName, failureStatus: null, tags: null);

    /// <summary>Adds a health check for a client.</summary>
    /// <inheritdoc cref="AddCommBox(IHealthChecksBuilder)" path="/remarks"/>
    /// <param name="builder">The health checks.</param>
    /// <param name="clientName">The client's name; "" for the client without a name.</param>
    /// <param name="failureStatus">
    /// The status to report instead of <see cref="HealthStatus.Unhealthy"/>; null for that status.
    /// </param>
    /// <param name="tags">The tags of the check; null for none.</param>
    /// <returns>The same health checks.</returns>
    public static IHealthChecksBuilder AddCommBox(
        this IHealthChecksBuilder builder,
        string clientName,
        HealthStatus? failureStatus,
        IEnumerable<string>? tags)
    {
        _ = builder ?? throw new ArgumentNullException(nameof(builder));
        _ = clientName ?? throw new ArgumentNullException(nameof(clientName));
        return builder.Add(new HealthCheckRegistration(
            clientName.Length == 0 ? "CommBox" : $"CommBox:{clientName}",
            provider => new HealthCheck(provider.GetRequiredService<ClientRegistry>(), clientName),
            failureStatus,
            tags));
    }
}
