using System.Text.Json;

namespace CommBox;

/// <summary>
/// The level of an event. A log with a level receives its events and those of the levels before it.
/// </summary>
public enum CommBoxLogLevel
{
    /// <summary>No events.</summary>
    Off = 0,

    /// <summary>Events that need a person: the API key was rejected, an outage began.</summary>
    Error = 1,

    /// <summary>Failed calls and throttling.</summary>
    Warning = 2,

    /// <summary>Retries, and the end of a pause.</summary>
    Information = 3,

    /// <summary>Calls, requests, connections, DNS lookups, the trust store, the proxy.</summary>
    Debug = 4,

    /// <summary>Reused connections.</summary>
    Trace = 5,
}

/// <summary>
/// An event of a client: see <see cref="CommBoxClientOptions.Log"/>. It contains no API key, no
/// header value and no value of a user.
/// </summary>
public sealed class CommBoxLogEvent
{
    private string? _name;

    /// <summary>The level of the event.</summary>
    public CommBoxLogLevel Level { get; init; }

    /// <summary>
    /// The name of the event, such as <c>retry</c> or <c>throttled</c>: the member <c>event</c> of
    /// the JSON.
    /// </summary>
    public string Name => _name ??= ReadName();

    /// <summary>The event as a sentence.</summary>
    public string Message { get; init; } = "";

    /// <summary>
    /// The event as a JSON object, with its figures, such as <c>call</c> and <c>attempt</c>.
    /// </summary>
    public string Json { get; init; } = "{}";

    /// <summary>Returns the sentence.</summary>
    /// <returns>A line for a log.</returns>
    public override string ToString() => Message;

    private string ReadName()
    {
        using JsonDocument document = JsonDocument.Parse(Json);
        return document.RootElement.TryGetProperty("event", out JsonElement name) ? name.GetString() ?? "" : "";
    }
}
