using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace CommBox.Extensions.Hosting;

/// <summary>Reports the health of a client according to its calls.</summary>
internal sealed class HealthCheck(ClientRegistry clients, string name) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(
        HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            return Task.FromResult(
                clients.Get(name).Outcomes.Health(context.Registration.FailureStatus));
        }
        catch (ObjectDisposedException)
        {
            return Task.FromResult(new HealthCheckResult(
                context.Registration.FailureStatus,
                $"{ClientRegistration.Title(name)} is closed: the host stops"));
        }
    }
}
