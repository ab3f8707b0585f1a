using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace CommBox.Extensions.Hosting;

/// <summary>
/// The outcomes of a client's latest calls: its statistics since the previous check, and whether
/// its API key was rejected. Nothing is sent.
/// </summary>
internal sealed class Outcomes(CommBoxClient client)
{
    private readonly object _lock = new();

    /// <summary>
    /// The number of calls that had succeeded when the key was rejected; -1 if it was not.
    /// </summary>
    private long _succeededBeforeRejection = -1;

    private CommBoxStatistics _before = new();
    private string? _failures;

    /// <summary>Records the log event of a rejected key, which is reported once.</summary>
    internal void Observe(CommBoxLogEvent logEvent)
    {
        if (logEvent.Level == CommBoxLogLevel.Error && logEvent.Name == "key_rejected")
        {
            try
            {
                Volatile.Write(ref _succeededBeforeRejection, client.GetStatistics().Succeeded);
            }
            catch (ObjectDisposedException)
            {
                // A call ended after its client was closed, because the host stops.
            }
        }
    }

    /// <summary>Forgets the state of the former key.</summary>
    internal void ForgetKey()
    {
        Volatile.Write(ref _succeededBeforeRejection, -1);
        lock (_lock)
        {
            _failures = null;
            _before = client.GetStatistics();
        }
    }

    /// <summary>
    /// Returns the health of the client; <paramref name="failure"/> is the status of an unhealthy
    /// one.
    /// </summary>
    internal HealthCheckResult Health(HealthStatus failure)
    {
        CommBoxStatistics now;
        string? failures;
        lock (_lock)
        {
            now = client.GetStatistics();
            failures = Failures(now);
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
            _ when failures is not null => HealthCheckResult.Degraded(failures, data: data),
            _ => HealthCheckResult.Healthy(
                now.Calls == 0 ? "no call was made yet" : "no failure of the server is known",
                data: data),
        };
    }

    private bool IsKeyRejected(CommBoxStatistics now)
    {
        long succeeded = Volatile.Read(ref _succeededBeforeRejection);
        return succeeded >= 0 && now.Succeeded <= succeeded;
    }

    /// <summary>
    /// Describes the failures if all calls that ended since the previous check failed. If none has
    /// ended, returns the previous result. Cancelled calls and failures that concern one update do
    /// not count.
    /// </summary>
    private string? Failures(CommBoxStatistics now)
    {
        KeyValuePair<int, long>[] failures =
        [
            .. now.FailedByCode
                .Select(
                    code => new KeyValuePair<int, long>(code.Key, code.Value - Before(code.Key)))
                .Where(code => code.Value > 0 && Counts(code.Key)),
        ];
        if (now.Succeeded > _before.Succeeded)
        {
            _failures = null;
        }
        else if (failures.Length > 0)
        {
            _failures = "all calls since the previous check failed: "
                + string.Join(", ", failures.Select(code => $"{code.Value} with code {code.Key}"));
        }
        _before = now;
        return _failures;
    }

    private long Before(int code) =>
        _before.FailedByCode.TryGetValue(code, out long count) ? count : 0;

    private static bool Counts(int code) => code switch
    {
        CommBoxErrorCode.Unauthorized or 403 or CommBoxErrorCode.RateLimited or >= 500 => true,
        CommBoxErrorCode.Connection or CommBoxErrorCode.Tls or CommBoxErrorCode.Timeout => true,
        CommBoxErrorCode.BadResponse or CommBoxErrorCode.Internal => true,
        CommBoxErrorCode.Throttled => true,
        _ => false,
    };
}
