using System.Text.Json;
using System.Text.Json.Serialization;

namespace CommBox;

/// <summary>
/// Writes a <see cref="UserInfo"/> like <see cref="UserInfo.ToJson"/>: only the properties that are
/// set. Reads a null in the JSON as <see cref="UserInfo.SetNull"/>. A field without a property is
/// kept and sent, so that the call checks it.
/// </summary>
public sealed class UserInfoJsonConverter : JsonConverter<UserInfo>
{
    /// <inheritdoc/>
    public override UserInfo Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        Expect(reader, JsonTokenType.StartObject, "a user must be a JSON object");
        var user = new UserInfo();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string name = reader.GetString()!;
            string field = UserInfo.FieldFor(name, options.PropertyNameCaseInsensitive) ?? name;
            reader.Read();
            if (field == nameof(UserInfo.Content) && reader.TokenType == JsonTokenType.StartObject)
            {
                ReadContent(ref reader, user.Content);
            }
            else if (UserInfo.IsText(field) && reader.TokenType is not (JsonTokenType.String or JsonTokenType.Null))
            {
                throw new JsonException($"{field} must be a string or null");
            }
            else
            {
                user.SetField(field, Value(ref reader));
            }
        }
        return user;
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, UserInfo value, JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(value);
        writer.WriteStartObject();
        value.WriteMembers(writer);
        writer.WriteEndObject();
    }

    internal static void Expect(in Utf8JsonReader reader, JsonTokenType token, string otherwise)
    {
        if (reader.TokenType != token)
        {
            throw new JsonException(otherwise);
        }
    }

    private static void ReadContent(ref Utf8JsonReader reader, IDictionary<string, object?> content)
    {
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string name = reader.GetString()!;
            reader.Read();
            content[name] = Value(ref reader);
        }
    }

    /// <summary>
    /// Reads a value that <see cref="UserInfo.Content"/> accepts. A number keeps its digits.
    /// </summary>
    internal static object? Value(ref Utf8JsonReader reader) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.True => true,
        JsonTokenType.False => false,
        JsonTokenType.String => reader.GetString(),
        _ => JsonElement.ParseValue(ref reader),
    };
}
