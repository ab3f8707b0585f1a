using System.Text.Json;
using System.Text.RegularExpressions;

namespace CommBox;

/// <summary>
/// A failed call. The kind of failure is the type, or <see cref="Code"/>; <see cref="Delivery"/>
/// shows whether the server may have processed the update. The message contains names of fields and
/// lengths, but never the API key or a value of the user.
/// </summary>
public class CommBoxException : Exception
{
    /// <summary>
    /// Creates an exception, for test doubles. <see cref="Code"/> and <see cref="Name"/> are those
    /// of the type if it stands for one code; all other properties can be set.
    /// </summary>
    /// <param name="message">A sentence that says what is wrong.</param>
    public CommBoxException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception with an inner exception.</summary>
    /// <param name="message">A sentence that says what is wrong.</param>
    /// <param name="innerException">The cause.</param>
    public CommBoxException(string message, Exception? innerException) : base(message, innerException)
    {
    }

    internal CommBoxException(JsonElement error, string? message = null)
        : base(message ?? error.GetProperty("message").GetString())
    {
        Code = error.GetProperty("code").GetInt32();
        Name = error.GetProperty("name").GetString() ?? "";
        HttpStatus = error.GetProperty("http_status") is { ValueKind: JsonValueKind.Number } status ? status.GetInt32() : null;
        Description = error.GetProperty("description").GetString();
        ResponseTime = error.GetProperty("response_time").GetString();
        RetryAfter = Milliseconds(error.GetProperty("retry_after_ms"));
        Attempts = error.GetProperty("attempts").GetInt32();
        Elapsed = Milliseconds(error.GetProperty("elapsed_ms")) ?? TimeSpan.Zero;
        Delivery = error.GetProperty("delivery").GetString() switch
        {
            "not_sent" => CommBoxDelivery.NotSent,
            "answered" => CommBoxDelivery.Answered,
            _ => CommBoxDelivery.Unknown,
        };
        Response = error.GetProperty("response").GetString();
        RequestId = error.GetProperty("request_id").GetString();
        IsTransient = Native.CodeIsTransient(Code) != 0;
    }

    /// <summary>
    /// The code of the failure: below 0 the client failed, and 100 or more is the HTTP status.
    /// <see cref="CommBoxErrorCode"/> has their names.
    /// </summary>
    public int Code { get; init; }

    /// <summary>Whether the same call may succeed later.</summary>
    public bool IsTransient { get; init; }

    /// <summary>The name of the code, such as <c>rate_limited</c> or <c>timeout</c>.</summary>
    public string Name { get; init; } = "";

    /// <summary>The HTTP status of the response; null if none was received.</summary>
    public int? HttpStatus { get; init; }

    /// <summary>The server's message.</summary>
    public string? Description { get; init; }

    /// <summary>The time of the response, as the server wrote it.</summary>
    public string? ResponseTime { get; init; }

    /// <summary>
    /// <see cref="ResponseTime"/> as a point in time; null if it is not an ISO 8601 time with an
    /// offset.
    /// </summary>
    public DateTimeOffset? RespondedAt => ServerTime.Parse(ResponseTime);

    /// <summary>
    /// How long to wait before the next call: the time that the server asks for, or the time until
    /// a call that was delayed past its deadline could have been sent.
    /// </summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>The number of attempts.</summary>
    public int Attempts { get; init; }

    /// <summary>The duration of the call.</summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>Whether the update reached the server.</summary>
    public CommBoxDelivery Delivery { get; init; }

    /// <summary>
    /// The server's id of the request, for questions to its support; see
    /// <see cref="UpdateResult.RequestId"/>.
    /// </summary>
    public string? RequestId { get; init; }

    /// <summary>
    /// The body of the response, truncated to 4 KiB. It may repeat values that were sent, so take
    /// care where it is logged.
    /// </summary>
    public string? Response { get; init; }

    /// <summary>
    /// Returns the type, the message, what is known about the call, and the stack trace. It does
    /// not contain the server's text, which may repeat values that were sent, so it may be logged.
    /// </summary>
    /// <returns>A text of several lines.</returns>
    public override string ToString()
    {
        string call = LogText.OfMembers(
            (nameof(Code), Code),
            (nameof(Delivery), Delivery),
            (nameof(Attempts), Attempts),
            (nameof(Elapsed), Elapsed),
            (nameof(RetryAfter), RetryAfter),
            (nameof(RequestId), RequestId));
        string first = $"{GetType()}: {Message}";
        string text = base.ToString();
        // If the runtime formats the text differently, it is left unchanged.
        return text.StartsWith(first, StringComparison.Ordinal)
            ? $"{first} ({call}){text.Substring(first.Length)}"
            : text;
    }

    /// <summary>Returns an error of this assembly, raised before the library is called.</summary>
    internal static CommBoxException Internal(string message, Exception cause) =>
        new(message, cause) { Code = Native.Internal, Name = "internal", Delivery = CommBoxDelivery.NotSent };

    /// <summary>
    /// Returns this thread's last error. Call it right after the failed call, on the same thread.
    /// </summary>
    internal static unsafe Exception Last(CancellationToken cancellationToken = default) =>
        FromJson(Utf8.Decode(Native.LastErrorJson()), cancellationToken);

    /// <summary>
    /// Returns the exception for an error in the JSON of <c>commbox_last_error_json</c>.
    /// <paramref name="cancellationToken"/> is that of the failed call. If the call was cancelled,
    /// the result is an <see cref="OperationCanceledException"/> with the details as its inner
    /// exception. It contains the token if the token cancelled the call, and none if
    /// <see cref="CommBoxClient.Cancel"/> did.
    /// </summary>
    internal static Exception FromJson(string json, CancellationToken cancellationToken = default)
    {
        CommBoxException error = Parse(json);
        return error.Code == Native.Cancelled
            ? new OperationCanceledException(
                error.Message,
                error,
                cancellationToken.IsCancellationRequested ? cancellationToken : default)
            : error;
    }

    /// <summary>
    /// Returns this thread's last error, from a call that takes options.
    /// <paramref name="propertyFor"/> returns the property for an option of the library.
    /// </summary>
    internal static unsafe CommBoxException LastOfOptions(Func<string, string> propertyFor)
    {
        using JsonDocument document = JsonDocument.Parse(Utf8.Decode(Native.LastErrorJson()));
        return Parse(document.RootElement, propertyFor);
    }

    /// <summary>
    /// Returns the error as a <see cref="CommBoxException"/>, even if the call was cancelled.
    /// </summary>
    internal static CommBoxException Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return Parse(document.RootElement);
    }

    private static CommBoxException Parse(JsonElement error) => Parse(error, CommBoxCallOptions.PropertyFor);

    private static CommBoxException Parse(JsonElement error, Func<string, string> propertyFor) =>
        error.GetProperty("code").GetInt32() switch
        {
            429 or -11 => new CommBoxRateLimitException(error),
            // -9 is BAD_RESPONSE: the server answered, but not in the documented way.
            >= 100 or -9 => new CommBoxApiException(error),
            -3 => new CommBoxValidationException(error, Problems(error, propertyFor, propertyFor)),
            -4 => new CommBoxValidationException(
                error, Problems(error, field => field, CommBoxClientOptions.PropertyFor)),
            -1 => new CommBoxValidationException(error),
            -5 or -6 => new CommBoxConnectionException(error),
            -7 => new CommBoxTimeoutException(error),
            _ => new CommBoxException(error),
        };

    /// <summary>
    /// Returns the listed problems of options or fields, or null if none are listed. Options are
    /// replaced by their properties, also within messages.
    /// </summary>
    private static string? Problems(
        JsonElement error, Func<string, string> nameFor, Func<string, string> propertyFor)
    {
        string[] problems = [.. error.GetProperty("problems").EnumerateArray().Select(problem =>
        {
            string path = problem.GetProperty("path").GetString()!;
            string message = problem.GetProperty("message").GetString()!;
            return (path.Length == 0 ? "" : nameFor(path) + " ")
                + Regex.Replace(message, @"\{(\w+)\}", option => propertyFor(option.Groups[1].Value));
        })];
        return problems.Length == 0 ? null : string.Join("; ", problems);
    }

    private static TimeSpan? Milliseconds(JsonElement value) =>
        value.ValueKind != JsonValueKind.Number ? null
        : value.TryGetInt64(out long time) && time < TimeSpan.MaxValue.Ticks / TimeSpan.TicksPerMillisecond
            ? new TimeSpan(time * TimeSpan.TicksPerMillisecond)
            : TimeSpan.MaxValue;
}

/// <summary>
/// The server answered, but did not confirm the update: its status is not a success, or (code -9)
/// the response is not the documented JSON.
/// </summary>
public class CommBoxApiException : CommBoxException
{
    /// <inheritdoc/>
    public CommBoxApiException(string message) : this(message, innerException: null)
    {
    }

    /// <inheritdoc/>
    public CommBoxApiException(string message, Exception? innerException) : base(message, innerException)
    {
        Delivery = CommBoxDelivery.Answered;
    }

    internal CommBoxApiException(JsonElement error) : base(error)
    {
    }
}

/// <summary>
/// The server answered 429: it received too many requests in a short time. Or (code -11) the
/// server's rate limit delays the call past its deadline, and nothing was sent. See
/// <see cref="CommBoxException.RetryAfter"/>.
/// </summary>
public sealed class CommBoxRateLimitException : CommBoxApiException
{
    /// <inheritdoc/>
    public CommBoxRateLimitException(string message) : this(message, innerException: null)
    {
    }

    /// <inheritdoc/>
    public CommBoxRateLimitException(string message, Exception? innerException) : base(message, innerException)
    {
        (Code, Name, HttpStatus, IsTransient) = (CommBoxErrorCode.RateLimited, "rate_limited", 429, true);
    }

    internal CommBoxRateLimitException(JsonElement error) : base(error)
    {
    }
}

/// <summary>
/// The DNS lookup, the connection, the proxy or TLS failed, or the connection broke.
/// </summary>
public sealed class CommBoxConnectionException : CommBoxException
{
    /// <inheritdoc/>
    public CommBoxConnectionException(string message) : this(message, innerException: null)
    {
    }

    /// <inheritdoc/>
    public CommBoxConnectionException(string message, Exception? innerException) : base(message, innerException)
    {
        (Code, Name, IsTransient) = (CommBoxErrorCode.Connection, "connection", true);
    }

    internal CommBoxConnectionException(JsonElement error) : base(error)
    {
    }
}

/// <summary>The deadline was exceeded.</summary>
public sealed class CommBoxTimeoutException : CommBoxException
{
    /// <inheritdoc/>
    public CommBoxTimeoutException(string message) : this(message, innerException: null)
    {
    }

    /// <inheritdoc/>
    public CommBoxTimeoutException(string message, Exception? innerException) : base(message, innerException)
    {
        (Code, Name, IsTransient) = (CommBoxErrorCode.Timeout, "timeout", true);
    }

    internal CommBoxTimeoutException(JsonElement error) : base(error)
    {
    }
}

/// <summary>An argument, an option or the user is invalid. Nothing was sent.</summary>
public sealed class CommBoxValidationException : CommBoxException
{
    /// <inheritdoc/>
    public CommBoxValidationException(string message) : this(Native.InvalidArgument, message)
    {
    }

    /// <inheritdoc/>
    public CommBoxValidationException(string message, Exception? innerException)
        : this(Native.InvalidArgument, message, innerException)
    {
    }

    /// <summary>
    /// An error of this assembly, raised before the library is called, with the code that the
    /// library would return.
    /// </summary>
    internal CommBoxValidationException(int code, string message, Exception? cause = null) : base(message, cause)
    {
        Code = code;
        Delivery = CommBoxDelivery.NotSent;
        Name = code switch
        {
            Native.InvalidOptions => "invalid_options",
            Native.InvalidUser => "invalid_user",
            _ => "invalid_argument",
        };
    }

    internal CommBoxValidationException(JsonElement error, string? message = null) : base(error, message)
    {
    }
}
