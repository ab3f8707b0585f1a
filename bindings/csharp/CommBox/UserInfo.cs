using System.Runtime.CompilerServices;

namespace CommBox;

/// <summary>
/// What an update changes of a user. Only what is set is sent; what is not set, or is set to null, stays as it is in
/// CommBox. To send a JSON null, use <see cref="SetNull"/>.
/// </summary>
/// <example><code>
/// var user = new UserInfo { FirstName = "John", Content = { ["VIP_Status"] = "8" } };
/// </code></example>
public sealed class UserInfo
{
    private readonly Dictionary<string, string?> _fields = [];

    /// <summary>The id that your organization gives the user, such as a customer number; at most 50 characters.</summary>
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
    /// The custom fields, by their "Unique Name" in the Custom Fields module, case-sensitive. A value is a string, a
    /// bool, a number, a <see cref="System.Text.Json.JsonElement"/>, or null, which is sent as a JSON null.
    /// </summary>
    public IDictionary<string, object?> Content { get; init; } = new Dictionary<string, object?>();

    /// <summary>Sends a JSON null for a field, until the field is set again.</summary>
    /// <param name="field">The field's name, such as <c>nameof(UserInfo.Phone2)</c>.</param>
    /// <returns>This user.</returns>
    public UserInfo SetNull(string field)
    {
        ArgumentNullException.ThrowIfNull(field);
        _fields[field] = null;
        return this;
    }

    /// <summary>The user as it is sent. It holds personal data: mind where it is logged.</summary>
    /// <returns>A JSON object.</returns>
    /// <exception cref="CommBoxValidationException">JSON cannot hold a name or a value (code -4).</exception>
    public string ToJson() => JsonText.Object(json =>
    {
        foreach ((string field, string? value) in _fields)
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
    });

    private string? Get([CallerMemberName] string field = "") => _fields.GetValueOrDefault(field);

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
