using System.Text.Json;
using System.Text.Json.Serialization;

namespace CommBox;

/// <summary>
/// Writes and reads a <see cref="UserUpdate"/>, for a queue or an outbox: <c>UserId</c>,
/// <c>User</c> or <c>Json</c>, and a <c>Tag</c> that is a string, a bool, a number, a
/// <see cref="JsonElement"/> or a JsonNode; other tags are rejected. A tag that is a number is read
/// as a <see cref="long"/> if possible, otherwise as a <see cref="JsonElement"/>.
/// <see cref="UserUpdate.Options"/> is not written, because its headers are secrets.
/// </summary>
public sealed class UserUpdateJsonConverter : JsonConverter<UserUpdate>
{
    private static readonly UserInfoJsonConverter Users = new();

    private static readonly string[] Names =
        [nameof(UserUpdate.UserId), nameof(UserUpdate.User), nameof(UserUpdate.Json), nameof(UserUpdate.Tag)];

    /// <inheritdoc/>
    public override UserUpdate Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        UserInfoJsonConverter.Expect(reader, JsonTokenType.StartObject, "an update must be a JSON object");
        (long? userId, UserInfo? user, string? json, object? tag) = (null, null, null, null);
        StringComparison comparison =
            options.PropertyNameCaseInsensitive ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string name = reader.GetString()!;
            reader.Read();
            switch (Array.Find(Names, known => known.Equals(name, comparison)))
            {
                case nameof(UserUpdate.UserId):
                    userId = reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long id)
                        ? id
                        : throw new JsonException($"{nameof(UserUpdate.UserId)} must be a whole number");
                    break;
                case nameof(UserUpdate.User):
                    user = reader.TokenType == JsonTokenType.Null ? null : Users.Read(ref reader, typeof(UserInfo), options);
                    break;
                case nameof(UserUpdate.Json):
                    json = reader.TokenType is JsonTokenType.String or JsonTokenType.Null
                        ? reader.GetString()
                        : throw new JsonException($"{nameof(UserUpdate.Json)} must be a string");
                    break;
                case nameof(UserUpdate.Tag):
                    tag = reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long number)
                        ? number
                        : UserInfoJsonConverter.Value(ref reader);
                    break;
                default:
                    throw new JsonException($"an update has no member of this name; it has {string.Join(", ", Names)}");
            }
        }
        return (userId, user, json) switch
        {
            ({ } id, { } fields, null) => new UserUpdate(id, fields) { Tag = tag },
            ({ } id, null, { } text) => new UserUpdate(id, text) { Tag = tag },
            (null, _, _) => throw new JsonException($"{nameof(UserUpdate.UserId)} is missing"),
            _ => throw new JsonException(
                $"an update must have either {nameof(UserUpdate.User)} or {nameof(UserUpdate.Json)}"),
        };
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, UserUpdate value, JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(value);
        writer.WriteStartObject();
        writer.WriteNumber(nameof(UserUpdate.UserId), value.UserId);
        if (value.User is { } user)
        {
            writer.WritePropertyName(nameof(UserUpdate.User));
            Users.Write(writer, user, options);
        }
        else
        {
            writer.WriteString(nameof(UserUpdate.Json), value.Json);
        }
        if (value.Tag is { } tag)
        {
            writer.WriteMember(
                nameof(UserUpdate.Tag), tag, path: nameof(UserUpdate.Tag), code: Native.InvalidArgument);
        }
        writer.WriteEndObject();
    }
}
