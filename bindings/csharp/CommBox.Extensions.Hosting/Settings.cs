using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;

namespace CommBox.Extensions.Hosting;

/// <summary>
/// The settings of a client in a section of a configuration: the properties of
/// <see cref="CommBoxClientOptions"/>, except those of the log, which the host configures.
/// </summary>
internal static class Settings
{
    private static readonly PropertyInfo[] Properties =
    [
        .. typeof(CommBoxClientOptions).GetProperties().Where(property => property.Name
            is not (nameof(CommBoxClientOptions.Log) or nameof(CommBoxClientOptions.LogLevel))),
    ];

    private static readonly string[] UnknownFields =
        [nameof(CommBoxUnknownFields.Refuse), nameof(CommBoxUnknownFields.Allow)];

    /// <summary>The names of all settings.</summary>
    internal static IReadOnlyCollection<string> Names { get; } =
        [.. Properties.Select(property => property.Name)];

    /// <summary>Sets the options that a section contains.</summary>
    /// <returns>The problems, each with its path; no value is quoted.</returns>
    internal static List<string> Bind(IConfiguration section, CommBoxClientOptions options)
    {
        List<string> problems = [];
        foreach (IConfigurationSection setting in section.GetChildren())
        {
            PropertyInfo? property = Properties.FirstOrDefault(
                property => property.Name.Equals(setting.Key, StringComparison.OrdinalIgnoreCase));
            string? problem = property is null
                ? Unknown(setting.Key)
                : Bind(property, setting, options);
            if (problem is not null)
            {
                problems.Add($"{setting.Path} {problem}");
            }
        }
        return problems;
    }

    /// <summary>Returns the names of the settings that differ.</summary>
    internal static IEnumerable<string> Changed(
        CommBoxClientOptions before, CommBoxClientOptions after) =>
        Properties.Where(
            property => !Equals(Comparable(property, before), Comparable(property, after)))
            .Select(property => property.Name);

    private static object? Comparable(PropertyInfo property, CommBoxClientOptions options) =>
        property.GetValue(options) switch
        {
            IDictionary<string, string> texts => string.Join(
                "\n", texts.OrderBy(text => text.Key, StringComparer.Ordinal)),
            IReadOnlyCollection<string> texts => string.Join("\n", texts),
            var value => value,
        };

    private static string? Bind(
        PropertyInfo property, IConfigurationSection setting, CommBoxClientOptions options)
    {
        if (property.GetValue(options) is IDictionary<string, string> headers)
        {
            foreach (IConfigurationSection header in setting.GetChildren())
            {
                headers[header.Key] = header.Value ?? "";
            }
            return setting.Value is { Length: > 0 } ? "must be an object of strings" : null;
        }
        if (property.PropertyType == typeof(IReadOnlyCollection<string>))
        {
            string[] texts = [.. setting.GetChildren().Select(text => text.Value ?? "")];
            property.SetValue(options, texts);
            return setting.Value is { Length: > 0 } ? "must be an array of strings" : null;
        }
        Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        if (setting.Value is not { } text)
        {
            // An empty setting is null, which sets nothing; one with children is an object.
            return setting.GetChildren().Any() ? $"must be {Expected(type)}, not an object" : null;
        }
        if (Read(type, text) is not { } value)
        {
            return $"must be {Expected(type)}";
        }
        property.SetValue(options, value);
        return null;
    }

    /// <summary>Parses a value. Returns null if the text is invalid for the type.</summary>
    private static object? Read(Type type, string text)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        const NumberStyles Number = NumberStyles.Float;
        if (type == typeof(string))
        {
            return text;
        }
        if (type == typeof(bool))
        {
            return bool.TryParse(text, out bool value) ? value : null;
        }
        if (type == typeof(int))
        {
            return int.TryParse(text, NumberStyles.Integer, culture, out int value) ? value : null;
        }
        if (type == typeof(double))
        {
            return double.TryParse(text, Number, culture, out double value) ? value : null;
        }
        if (type == typeof(TimeSpan))
        {
            // Without a colon, TimeSpan would parse a number of days.
            return text.IndexOf(':') >= 0 && TimeSpan.TryParse(text, culture, out TimeSpan value)
                ? value
                : null;
        }
        // Enum.Parse() also accepts numbers.
        return UnknownFields.Contains(text, StringComparer.OrdinalIgnoreCase)
            ? Enum.Parse(typeof(CommBoxUnknownFields), text, ignoreCase: true)
            : null;
    }

    private static string Expected(Type type) =>
        type == typeof(string) ? "a string"
        : type == typeof(bool) ? "true or false"
        : type == typeof(int) ? "a whole number"
        : type == typeof(double) ? "a number"
        : type == typeof(TimeSpan) ? "hours, minutes and seconds, such as \"00:00:30\""
        : string.Join(" or ", UnknownFields);

    private static string Unknown(string key)
    {
        if (key.Equals(nameof(CommBoxClientOptions.LogLevel), StringComparison.OrdinalIgnoreCase))
        {
            return "is an unknown setting; the level of the log is Logging:LogLevel:"
                + LogForwarder.Category;
        }
        return Nearest(key) is { } nearest
            ? $"is an unknown setting; did you mean \"{nearest}\"?"
            : $"is an unknown setting; the settings are {string.Join(", ", Names)}";
    }

    /// <summary>
    /// Returns the setting with the nearest name, or null. The library finds it: the settings are
    /// passed as custom fields of the account, with which it compares the key.
    /// </summary>
    private static string? Nearest(string key)
    {
        using var client = new CommBoxClient(
            "none", new CommBoxClientOptions { CustomFields = Names });
        try
        {
            client.ValidateUser(1, new UserInfo { Content = { [key] = "" } });
            return null;
        }
        catch (CommBoxValidationException error)
        {
            Match name = Regex.Match(
                error.Message, """(did you mean|must be written) "(\w+)"(?!.*")""");
            return name.Success ? name.Groups[2].Value : null;
        }
    }
}
