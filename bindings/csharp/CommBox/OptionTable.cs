using System.Text.Json;

namespace CommBox;

/// <summary>What all tables have.</summary>
internal static class OptionTable
{
    /// <summary>What an endless time is: the longest that the library takes.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromHours(24);

    internal static long? Milliseconds(TimeSpan? time) =>
        (time == Timeout.InfiniteTimeSpan ? Longest : time)?.Ticks / TimeSpan.TicksPerMillisecond;
}

/// <summary>
/// Each option as the library calls it, the property that it is here, and its value.
/// </summary>
internal sealed class OptionTable<T>(params (string Option, string Property, Func<T, object?> Value)[] members)
{
    /// <summary>
    /// The property for an option of the library; of one header, <c>headers.NAME</c>, the entry.
    /// </summary>
    internal string PropertyFor(string option)
    {
        string[] parts = option.Split('.', 2);
        string property = members.FirstOrDefault(member => member.Option == parts[0]).Property ?? parts[0];
        return parts.Length == 1 ? property : $"{property}[\"{parts[1]}\"]";
    }

    /// <summary>The options that are set, as the library reads them.</summary>
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
