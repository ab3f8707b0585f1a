using System.Globalization;
using System.Text;
using System.Text.Json;

namespace CommBox;

/// <summary>
/// The server's reply to an update that it confirmed. A member that the reply does not have is
/// null. The reply is parsed when a member is first read.
/// </summary>
public sealed class UpdateResult
{
    /// <summary>The reply as the library returned it, until <see cref="Raw"/> is read.</summary>
    private readonly byte[] _bytes = [];
    private string? _raw;
    private Reply? _reply;

    /// <summary>The id of the user who was updated.</summary>
    public long? Id { get => Parsed.Id; init => _reply = Parsed with { Id = value }; }

    /// <summary>The status in the reply, such as 200.</summary>
    public int? Status { get => Parsed.Status; init => _reply = Parsed with { Status = value }; }

    /// <summary>The server's message, such as "Operation successful".</summary>
    public string? Description { get => Parsed.Description; init => _reply = Parsed with { Description = value }; }

    /// <summary>The time of the reply, as the server wrote it.</summary>
    public string? ResponseTime { get => Parsed.ResponseTime; init => _reply = Parsed with { ResponseTime = value }; }

    /// <summary>
    /// <see cref="ResponseTime"/> as a point in time; null if it is not an ISO 8601 time with an
    /// offset.
    /// </summary>
    public DateTimeOffset? RespondedAt => ServerTime.Parse(ResponseTime);

    /// <summary>The reply as it was received: JSON.</summary>
    public string Raw { get => _raw ??= Encoding.UTF8.GetString(_bytes); init => _raw = value; }

    /// <summary>The number of attempts: 1 if the update was not retried.</summary>
    public int Attempts { get; init; }

    /// <summary>
    /// The duration of the call. For one of many updates, it starts when the update is dispatched.
    /// </summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>
    /// The server's id of the request, for questions to its support: the response header
    /// <c>X-Request-Id</c>, <c>Request-Id</c> or <c>X-Correlation-Id</c>, or the one that
    /// <see cref="CommBoxClientOptions.RequestIdHeader"/> names. Null if there is none.
    /// </summary>
    public string? RequestId { get; init; }

    /// <summary>Creates a result, for test doubles.</summary>
    public UpdateResult()
    {
    }

    private UpdateResult(byte[] reply, Effort effort)
    {
        _bytes = reply;
        (Attempts, Elapsed, RequestId) = effort;
    }

    /// <summary>
    /// Returns a text with the number of the user and what the update took. It does not contain the
    /// server's text, which may repeat values that were sent.
    /// </summary>
    /// <returns>A text for logs.</returns>
    public override string ToString() => LogText.Of(
        nameof(UpdateResult),
        (nameof(Id), Id),
        (nameof(Status), Status),
        (nameof(Attempts), Attempts),
        (nameof(Elapsed), Elapsed),
        (nameof(RequestId), RequestId));

    private Reply Parsed => _reply ??= Reply.Parse(_raw is null ? _bytes : Encoding.UTF8.GetBytes(_raw));

    internal static UpdateResult From(byte[] reply, Effort effort) => new(reply, effort);

    /// <summary>
    /// The content of a reply. The update is confirmed, so reading the reply must not fail.
    /// </summary>
    private sealed record Reply(long? Id, int? Status, string? Description, string? ResponseTime)
    {
        internal static Reply Parse(byte[] reply)
        {
            try
            {
                using JsonDocument document = JsonDocument.Parse(reply);
                JsonElement root = document.RootElement;
                return new Reply(
                    Id: Integer(Member(Member(root, "data"), "Id")),
                    Status: Integer(Member(root, "status")) is { } status and >= 0 and <= int.MaxValue ? (int)status : null,
                    Description: Text(Member(root, "description")),
                    ResponseTime: Text(Member(root, "response_time")));
            }
            catch (JsonException)
            {
                return new Reply(null, null, null, null);
            }
        }

        private static JsonElement Member(JsonElement element, string name) =>
            element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement member)
                ? member
                : default;

        private static string? Text(JsonElement element)
        {
            try
            {
                return element.ValueKind == JsonValueKind.String ? element.GetString() : null;
            }
            catch (InvalidOperationException)
            {
                return null; // An escape that is not a character: half a surrogate pair.
            }
        }

        /// <summary>
        /// Parses a whole number, even if it is written as a string or as 1.0: the vendor's own
        /// documents use all of these.
        /// </summary>
        private static long? Integer(JsonElement element)
        {
            string? text = element.ValueKind == JsonValueKind.Number ? element.GetRawText() : Text(element);
            return decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal number)
                && number == decimal.Truncate(number) && number is >= long.MinValue and <= long.MaxValue
                ? (long)number
                : null;
        }
    }
}
