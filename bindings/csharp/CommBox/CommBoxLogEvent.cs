using System.Text.Json;

namespace CommBox;

/// <summary>
/// How much an event matters. A log of a level gets its events and those of the levels before it.
/// </summary>
public enum CommBoxLogLevel
{
    /// <summary>No event.</summary>
    Off = 0,

    /// <summary>
    /// What needs a person: the API key was rejected, the server does not answer.
    /// </summary>
    Error = 1,

    /// <summary>A call failed, the server throttles.</summary>
    Warning = 2,

    /// <summary>Retries, and requests that resume.</summary>
    Information = 3,

    /// <summary>Calls, requests, connections, DNS lookups, the trust store, the proxy.</summary>
    Debug = 4,

    /// <summary>Reused connections, too.</summary>
    Trace = 5,
}

/// <summary>
/// Something that a client did: see <see cref="CommBoxClientOptions.Log"/>. It contains no API key,
/// no value of a header and no value of a user.
/// </summary>
public sealed class CommBoxLogEvent
{
    private string? _name;

    /// <summary>How much it matters.</summary>
    public CommBoxLogLevel Level { get; init; }

    /// <summary>
    /// What happened, such as <c>retry</c> or <c>throttled</c>: the member <c>event</c> of the
    /// JSON.
    /// </summary>
    public string Name => _name ??= ReadName();

    /// <summary>What happened, as a sentence.</summary>
    public string Message { get; init; } = "";

    /// <summary>
    /// The same as a JSON object, with the figures that belong to it, such as <c>call</c> and
    /// <c>attempt</c>.
    /// </summary>
    public string Json { get; init; } = "{}";

    /// <summary>The sentence.</summary>
    /// <returns>A line for a log.</returns>
    public override string ToString() => Message;

    private string ReadName()
    {
        using JsonDocument document = JsonDocument.Parse(Json);
        return document.RootElement.TryGetProperty("event", out JsonElement name) ? name.GetString() ?? "" : "";
    }
}
