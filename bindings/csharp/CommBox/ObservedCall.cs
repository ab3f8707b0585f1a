using System.Diagnostics;
using System.Globalization;

namespace CommBox;

/// <summary>
/// A call as activities and meters record it, from start to end. It also passes the current
/// activity's <c>traceparent</c> to the server.
/// </summary>
internal sealed class ObservedCall : IDisposable
{
    internal const string OperationName = "CommBox.UpdateUser";

    private const string Method = "POST";
    private const string Path = "/users/{id}";

    /// <summary>
    /// The maximum number of headers of a call, and the length that W3C requires to propagate.
    /// </summary>
    private const int MostHeaders = 32;
    private const int LongestHeader = 512;

    private const string TraceParent = "traceparent";
    private const string TraceState = "tracestate";

    private readonly ServerName _server;
    private readonly Activity? _activity;
    private readonly long _began = Stopwatch.GetTimestamp();
    private long _ended;
    private bool _isDone;
    private string? _traceParent;
    private string? _traceState;

    internal ObservedCall(ServerName server, Activity? activity)
    {
        (_server, _activity) = (server, activity);
        if (activity is { IsAllDataRequested: true })
        {
            activity.DisplayName = $"{Method} {Path}";
            activity.SetTag("http.request.method", Method);
            activity.SetTag("url.template", Path);
            activity.SetTag("server.address", server.Address);
            activity.SetTag("server.port", server.Port);
        }
    }

    /// <summary>
    /// Returns the options of the call with the headers of the program's propagator added. Headers
    /// that the caller has set take precedence. A trace header never makes a call fail.
    /// </summary>
    internal CommBoxCallOptions? WithTrace(CommBoxCallOptions? options)
    {
        Activity? activity = _activity ?? Activity.Current;
        if (activity is not { IdFormat: ActivityIdFormat.W3C })
        {
            return options;
        }
        // Baggage is internal to the program and is not sent.
        DistributedContextPropagator.Current.Inject(activity, this, Carry);
        if (_traceParent is null)
        {
            return options;
        }
        if (options is null && _traceState is null && _traceParent.All(IsPlain))
        {
            return CommBoxCallOptions.OfHeader(TraceParent, _traceParent);
        }
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase)
        {
            [TraceParent] = _traceParent,
        };
        if (_traceState is not null)
        {
            headers[TraceState] = _traceState;
        }
        options ??= new();
        foreach ((string name, string value) in options.Headers)
        {
            headers[name] = value;
        }
        return headers.Count > MostHeaders ? options : options.WithHeaders(headers);
    }

    private static void Carry(object? call, string name, string value)
    {
        if (name == TraceParent && IsSendable(value))
        {
            ((ObservedCall)call!)._traceParent = value;
        }
        else if (name == TraceState && IsSendable(value))
        {
            ((ObservedCall)call!)._traceState = value;
        }
    }

    private static bool IsPlain(char character) =>
        character is (>= '0' and <= '9') or (>= 'a' and <= 'z') or '-';

    /// <summary>Sets the end of the call. Its outcome is recorded later.</summary>
    internal void EndsNow() => _ended = Stopwatch.GetTimestamp();

    internal void Succeeded(UpdateResult result) =>
        End(
            result.Attempts,
            result.Status ?? 200,
            error: null,
            message: null,
            CommBoxDelivery.Answered);

    internal void Failed(Exception error)
    {
        switch (error as CommBoxException ?? error.InnerException as CommBoxException)
        {
            case { } known:
                End(
                    known.Attempts,
                    known.HttpStatus,
                    known.HttpStatus is >= 400
                        ? known.HttpStatus.Value.ToString(CultureInfo.InvariantCulture)
                        : known.Name,
                    known.Message,
                    known.Delivery);
                break;
            case null when error is OperationCanceledException:
                End(attempts: 0, status: null, "cancelled", error.Message, CommBoxDelivery.NotSent);
                break;
            default:
                End(
                    attempts: 0,
                    status: null,
                    error.GetType().FullName!,
                    message: null,
                    CommBoxDelivery.NotSent);
                break;
        }
    }

    /// <summary>Ends a call whose outcome nobody collects.</summary>
    internal void Abandon() =>
        End(attempts: 0, status: null, "cancelled", message: null, CommBoxDelivery.Unknown);

    /// <summary>Stops the activity, whatever the outcome.</summary>
    public void Dispose()
    {
        if (!_isDone)
        {
            Abandon();
        }
    }

    private void End(
        int attempts, int? status, string? error, string? message, CommBoxDelivery delivery)
    {
        if (_isDone)
        {
            return;
        }
        _isDone = true;
        long ended = _ended != 0 ? _ended : Stopwatch.GetTimestamp();
        TimeSpan duration = Elapsed(_began, ended);
        int retries = Math.Max(0, attempts - 1);
        string delivered = delivery switch
        {
            CommBoxDelivery.NotSent => "not_sent",
            CommBoxDelivery.Answered => "answered",
            _ => "unknown",
        };

        var server = new TagList
        {
            { "http.request.method", Method },
            { "server.address", _server.Address },
            { "server.port", _server.Port },
        };
        TagList tags = server;
        Set("http.response.status_code", status, ref tags);
        Set("error.type", error, ref tags);
        Set("commbox.delivery", delivered, ref tags);
        Telemetry.Record(duration, tags, retries, server);

        if (_activity is null)
        {
            return;
        }
        if (_activity.IsAllDataRequested && retries > 0)
        {
            _activity.SetTag("http.request.resend_count", retries);
        }
        if (error is not null)
        {
            _activity.SetStatus(ActivityStatusCode.Error, message);
        }
        _activity.SetEndTime(_activity.StartTimeUtc + duration);
        // Stop() makes the parent current, even if the activity was started on another thread.
        if (Activity.Current == _activity)
        {
            _activity.Stop();
        }
        else
        {
            Telemetry.Isolate(_activity.Stop);
        }
    }

    private void Set(string name, object? value, ref TagList tags)
    {
        if (value is null)
        {
            return;
        }
        tags.Add(name, value);
        if (_activity is { IsAllDataRequested: true })
        {
            _activity.SetTag(name, value);
        }
    }

    private static bool IsSendable(string value) =>
        value.Length is > 0 and <= LongestHeader
        && value.Trim().Length == value.Length
        && value.All(character => character is >= ' ' and <= '~');

    private static TimeSpan Elapsed(long began, long ended) =>
        TimeSpan.FromSeconds((ended - began) / (double)Stopwatch.Frequency);
}
