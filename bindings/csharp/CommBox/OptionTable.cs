using System.Text.Json;

namespace CommBox;

/// <summary>What all option tables share.</summary>
internal static class OptionTable
{
    /// <summary>The value of an infinite timeout: the longest that the library accepts.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromHours(24);

    internal static long? Milliseconds(TimeSpan? time) =>
        (time == Timeout.InfiniteTimeSpan ? Longest : time)?.Ticks / TimeSpan.TicksPerMillisecond;
}

/// <summary>
/// The options: for each, its name in the library, the property here, and its value.
/// </summary>
internal sealed class OptionTable<T>(params (string Option, string Property, Func<T, object?> Value)[] members)
{
    /// <summary>
    /// Returns the property for an option of the library; for one header, <c>headers.NAME</c>, its
    /// entry in the dictionary.
    /// </summary>
    internal string PropertyFor(string option)
    {
        string[] parts = option.Split('.', 2);
        string property = members.FirstOrDefault(member => member.Option == parts[0]).Property ?? parts[0];
        return parts.Length == 1 ? property : $"{property}[\"{parts[1]}\"]";
    }

    /// <summary>Returns the options that are set as the library's JSON.</summary>
    internal string ToJson(T options) => JsonText.Object(json =>
    {
        foreach ((string option, string property, Func<T, object?> valueOf) in members)
        {
            switch (valueOf(options))
            {
                case null or IDictionary<string, string> { Count: 0 }:
                    break;
                case IDictionary<string, string> entries:
                    Write(json, option, property, entries);
                    break;
                case TimeSpan time:
                    Write(json, option, property, OptionTable.Milliseconds(time)!);
                    break;
                case double number when !double.IsFinite(number):
                    throw new CommBoxValidationException(Native.InvalidOptions, $"{property} must be a finite number");
                case IReadOnlyCollection<string> texts:
                    Write(json, option, property, texts);
                    break;
                case CommBoxUnknownFields what:
                    Write(json, option, property, what == CommBoxUnknownFields.Allow ? "allow" : "refuse");
                    break;
                case { } value:
                    Write(json, option, property, value);
                    break;
            }
        }
    });

    private static void Write(Utf8JsonWriter json, string option, string property, object value) =>
        json.WriteMember(option, value, path: property, code: Native.InvalidOptions);

    private static void Write(Utf8JsonWriter json, string option, string property, IReadOnlyCollection<string> texts)
    {
        json.WriteStartArray(option);
        foreach (string text in texts)
        {
            json.WriteStringValue(Utf8.Checked(text, property, Native.InvalidOptions));
        }
        json.WriteEndArray();
    }

    private static void Write(
        Utf8JsonWriter json, string option, string property, IDictionary<string, string> entries)
    {
        json.WriteStartObject(option);
        foreach ((string name, string value) in entries)
        {
            Write(json, name, $"{property}[\"{name}\"]", value);
        }
        json.WriteEndObject();
    }
}
