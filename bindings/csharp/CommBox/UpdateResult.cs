using System.Globalization;
using System.Text.Json;

namespace CommBox;

/// <summary>The server's reply to an update that it confirmed. What the reply lacks is null.</summary>
public sealed class UpdateResult
{
    /// <summary>The id of the user who was updated.</summary>
    public long? Id { get; init; }

    /// <summary>The status in the reply, such as 200.</summary>
    public int? Status { get; init; }

    /// <summary>The server's words, such as "Operation successful".</summary>
    public string? Description { get; init; }

    /// <summary>The time of the reply, as the server wrote it.</summary>
    public string? ResponseTime { get; init; }

    /// <summary>The reply as it came: JSON.</summary>
    public string Raw { get; init; } = "";

    /// <summary>Reads what it can. The update is done, so nothing in the reply may fail the call any more.</summary>
    internal static UpdateResult Parse(string reply)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(reply);
            JsonElement root = document.RootElement;
            return new UpdateResult
            {
                Id = Integer(Member(Member(root, "data"), "Id")),
                Status = Integer(Member(root, "status")) is { } status and >= 0 and <= int.MaxValue ? (int)status : null,
                Description = Text(Member(root, "description")),
                ResponseTime = Text(Member(root, "response_time")),
                Raw = reply,
            };
        }
        catch (JsonException)
        {
            return new UpdateResult { Raw = reply };
        }
    }

    private static JsonElement Member(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement member) ? member : default;

    private static string? Text(JsonElement element)
    {
        try
        {
            return element.ValueKind == JsonValueKind.String ? element.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            return null; // An escape that is no character: half a surrogate pair.
        }
    }

    /// <summary>A whole number, also where it is written as a string or as 1.0: the vendor's own documents mix them.</summary>
    private static long? Integer(JsonElement element)
    {
        string? text = element.ValueKind == JsonValueKind.Number ? element.GetRawText() : Text(element);
        return decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal number)
            && number == decimal.Truncate(number) && number is >= long.MinValue and <= long.MaxValue
            ? (long)number
            : null;
    }
}
