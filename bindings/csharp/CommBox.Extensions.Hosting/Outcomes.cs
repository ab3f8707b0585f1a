using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace CommBox.Extensions.Hosting;

/// <summary>
/// What is known of a client's latest calls: its statistics since the last look, and whether its
/// API key was rejected. Nothing is sent to learn it.
/// </summary>
internal sealed class Outcomes(CommBoxClient client)
{
    private readonly object _lock = new();

    /// <summary>How many calls had succeeded when the key was rejected; -1 if it was not.</summary>
    private long _succeededBeforeRejection = -1;

    private CommBoxStatistics _before = new();
    private string? _trouble;

    /// <summary>Learns from the log that the key is rejected, which is told once.</summary>
    internal void See(CommBoxLogEvent told)
    {
        if (told.Level == CommBoxLogLevel.Error && told.Name == "key_rejected")
        {
            try
            {
                Volatile.Write(ref _succeededBeforeRejection, client.GetStatistics().Succeeded);
            }
            catch (ObjectDisposedException)
            {
                // A call that ends after its client was closed: the host stops.
            }
        }
    }

    /// <summary>Another key was set, of which nothing is known yet.</summary>
    internal void ForgetKey()
    {
        Volatile.Write(ref _succeededBeforeRejection, -1);
        lock (_lock)
        {
            _trouble = null;
            _before = client.GetStatistics();
        }
    }

    /// <summary>
    /// The health of the client; <paramref name="failure"/> stands for a bad one.
    /// </summary>
    internal HealthCheckResult Health(HealthStatus failure)
    {
        CommBoxStatistics now;
        string? trouble;
        lock (_lock)
        {
            now = client.GetStatistics();
            trouble = Trouble(now);
        }
        var data = new Dictionary<string, object>
        {
            ["state"] = now.State,
            ["succeeded"] = now.Succeeded,
            ["failed"] = now.Failed,
            ["waiting"] = now.Waiting,
            ["inFlight"] = now.InFlight,
            ["pending"] = client.PendingCount,
        };
        return now.State switch
        {
            "outage" => new(failure, "the server does not answer: requests are paused", data: data),
            _ when IsKeyRejected(now) => new(
                failure,
                "the server rejected the API key (401); calls fail until it is replaced",
                data: data),
            "throttled" => HealthCheckResult.Degraded(
                "the server throttles: requests are paused", data: data),
            _ when trouble is not null => HealthCheckResult.Degraded(trouble, data: data),
            _ => HealthCheckResult.Healthy(
                now.Calls == 0 ? "no call was made yet" : "the server answers", data: data),
        };
    }

    private bool IsKeyRejected(CommBoxStatistics now)
    {
        long succeeded = Volatile.Read(ref _succeededBeforeRejection);
        return succeeded >= 0 && now.Succeeded <= succeeded;
    }

    /// <summary>
    /// What is wrong if all calls failed that ended since the last look, or at that look if none
    /// has. Failures that are about one update, or that the program wanted, are no trouble.
    /// </summary>
    private string? Trouble(CommBoxStatistics now)
    {
        KeyValuePair<int, long>[] failures =
        [
            .. now.FailedByCode
                .Select(
                    code => new KeyValuePair<int, long>(code.Key, code.Value - Before(code.Key)))
                .Where(code => code.Value > 0 && IsTrouble(code.Key)),
        ];
        if (now.Succeeded > _before.Succeeded)
        {
            _trouble = null;
        }
        else if (failures.Length > 0)
        {
            _trouble = $"the last {failures.Sum(code => code.Value)} calls failed: "
                + string.Join(", ", failures.Select(code => $"code {code.Key} ({code.Value})"));
        }
        _before = now;
        return _trouble;
    }

    private long Before(int code) =>
        _before.FailedByCode.TryGetValue(code, out long count) ? count : 0;

    private static bool IsTrouble(int code) => code switch
    {
        CommBoxErrorCode.Unauthorized or 403 or CommBoxErrorCode.RateLimited or >= 500 => true,
        CommBoxErrorCode.Connection or CommBoxErrorCode.Tls or CommBoxErrorCode.Timeout => true,
        CommBoxErrorCode.BadResponse or CommBoxErrorCode.Internal => true,
        CommBoxErrorCode.Throttled => true,
        _ => false,
    };
}
