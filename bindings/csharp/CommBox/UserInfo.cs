using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace CommBox;

/// <summary>
/// The changes to a user. Only properties that are set are sent. A property that is unset or null
/// leaves the field in CommBox unchanged. To send a JSON null, use <see cref="SetNull"/>.
/// </summary>
/// <example><code>
/// var user = new UserInfo { FirstName = "John", Content = { ["VIP_Status"] = "8" } };
/// </code></example>
[JsonConverter(typeof(UserInfoJsonConverter))]
public sealed class UserInfo
{
    private static readonly string[] Texts =
        [nameof(UniqueId), nameof(FirstName), nameof(LastName), nameof(Email), nameof(Phone1), nameof(Phone2), nameof(Remarks)];

    private static readonly string[] Fields = [.. Texts, nameof(Content)];

    /// <summary>
    /// The fields that are set, by name. A property is a string, or null for a JSON null. A field
    /// that was read from JSON and has no property may have any value.
    /// </summary>
    private readonly Dictionary<string, object?> _fields = [];

    /// <summary>
    /// The id of the user in your organization, such as a customer number; at most 50 characters.
    /// </summary>
    public string? UniqueId { get => Get(); set => Set(value); }

    /// <summary>The first name; at most 100 characters.</summary>
    public string? FirstName { get => Get(); set => Set(value); }

    /// <summary>The last name; at most 100 characters.</summary>
    public string? LastName { get => Get(); set => Set(value); }

    /// <summary>The email address; at most 255 characters.</summary>
    public string? Email { get => Get(); set => Set(value); }

    /// <summary>The main phone number; at most 100 characters.</summary>
    public string? Phone1 { get => Get(); set => Set(value); }

    /// <summary>The secondary phone number; at most 100 characters.</summary>
    public string? Phone2 { get => Get(); set => Set(value); }

    /// <summary>Remarks about the user, of any length.</summary>
    public string? Remarks { get => Get(); set => Set(value); }

    /// <summary>
    /// The custom fields, by their "Unique Name" in the Custom Fields module, case-sensitive. A
    /// value is a string, a bool, a number, a <see cref="JsonElement"/>, a
    /// <see cref="System.Text.Json.Nodes.JsonNode"/>, or null, which is sent as a JSON null.
    /// </summary>
    public IDictionary<string, object?> Content { get; init; } = new Dictionary<string, object?>();

    /// <summary>Sends a JSON null for a field, until the field is set again.</summary>
    /// <param name="field">The name of the field, such as <c>nameof(UserInfo.Phone2)</c>.</param>
    /// <returns>This user.</returns>
    public UserInfo SetNull(string field)
    {
        ArgumentNullException.ThrowIfNull(field);
        _fields[field] = null;
        return this;
    }

    /// <summary>
    /// Returns the user as it is sent. It contains personal data, so take care where it is logged.
    /// </summary>
    /// <returns>A JSON object.</returns>
    /// <exception cref="CommBoxValidationException">
    /// JSON cannot represent a name or a value (code -4).
    /// </exception>
    public string ToJson() => JsonText.Object(WriteMembers);

    /// <summary>
    /// Returns a text with the names of the fields that are set, but no values: they are personal
    /// data, which should not be logged.
    /// </summary>
    /// <returns>A text for logs.</returns>
    public override string ToString()
    {
        IEnumerable<string> texts = Texts.Where(_fields.ContainsKey);
        int others = _fields.Keys.Count(field => !IsText(field)) + (Content?.Count ?? 0);
        IEnumerable<string> parts = others == 0 ? texts : texts.Append($"{others} other fields");
        return $"{nameof(UserInfo)} {{ {string.Join(", ", parts)} }}";
    }

    /// <summary>The user as text for the library. The caller disposes it.</summary>
    internal NativeText ToNative() => JsonText.ObjectToNative(this, static (user, json) => user.WriteMembers(json));

    /// <summary>
    /// Returns the user as an array, for calls that outlive the method that starts them.
    /// </summary>
    internal byte[] ToTerminated()
    {
        using NativeText text = ToNative();
        return text.ToArray();
    }

    internal void WriteMembers(Utf8JsonWriter json)
    {
        foreach ((string field, object? value) in _fields)
        {
            json.WriteMember(field, value, path: field, code: Native.InvalidUser);
        }
        if (Content is { Count: > 0 })
        {
            json.WriteStartObject(nameof(Content));
            foreach ((string field, object? value) in Content)
            {
                json.WriteMember(field, value, path: $"{nameof(Content)}.{field}", code: Native.InvalidUser);
            }
            json.WriteEndObject();
        }
    }

    /// <summary>Returns the field for a name in JSON; null if there is none.</summary>
    internal static string? FieldFor(string name, bool ignoreCase)
    {
        StringComparison comparison = ignoreCase ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;
        return Array.Find(Fields, field => field.Equals(name, comparison));
    }

    /// <summary>Returns whether a field can only be a string or null.</summary>
    internal static bool IsText(string field) => Array.IndexOf(Texts, field) >= 0;

    /// <summary>Sets a field to a value that was read from JSON.</summary>
    internal void SetField(string field, object? value) => _fields[field] = value;

    private string? Get([CallerMemberName] string field = "") => _fields.GetValueOrDefault(field) as string;

    private void Set(string? value, [CallerMemberName] string field = "")
    {
        if (value is null)
        {
            _fields.Remove(field);
        }
        else
        {
            _fields[field] = value;
        }
    }
}
