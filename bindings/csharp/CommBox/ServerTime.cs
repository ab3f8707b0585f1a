using System.Globalization;

namespace CommBox;

/// <summary>Parses the time in a reply of the server.</summary>
internal static class ServerTime
{
    private const string Local = "yyyy-MM-dd'T'HH:mm:ss.FFFFFFF";

    /// <summary>Returns the time; null if the text is not ISO 8601 with an offset.</summary>
    internal static DateTimeOffset? Parse(string? text) =>
        Parse(text, Local + "'Z'", DateTimeStyles.AssumeUniversal) ?? Parse(text, Local + "zzz", DateTimeStyles.None);

    private static DateTimeOffset? Parse(string? text, string format, DateTimeStyles style) =>
        DateTimeOffset.TryParseExact(text, format, CultureInfo.InvariantCulture, style, out DateTimeOffset moment)
            ? moment
            : null;
}
