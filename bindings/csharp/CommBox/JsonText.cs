using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace CommBox;

/// <summary>Writes the JSON that goes into the library.</summary>
internal static class JsonText
{
    // The text goes into a request, never into a page, so only what JSON itself asks for is escaped.
    private static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>An object with the members that <paramref name="members"/> writes.</summary>
    internal static string Object(Action<Utf8JsonWriter> members)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Plain))
        {
            json.WriteStartObject();
            members(json);
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>
    /// Writes one member. <paramref name="path"/> is what an error calls it, <paramref name="code"/> the error's code.
    /// </summary>
    /// <exception cref="CommBoxValidationException">JSON cannot hold the name or the value.</exception>
    internal static void WriteMember(this Utf8JsonWriter json, string name, object? value, string path, int code)
    {
        json.WritePropertyName(Utf8.Encode(name, "the name of a field", code));
        switch (value)
        {
            case null:
                json.WriteNullValue();
                break;
            case string text:
                json.WriteStringValue(Utf8.Encode(text, path, code));
                break;
            case bool boolean:
                json.WriteBooleanValue(boolean);
                break;
            case sbyte or byte or short or ushort or int or uint or long:
                json.WriteNumberValue(Convert.ToInt64(value, CultureInfo.InvariantCulture));
                break;
            case ulong number:
                json.WriteNumberValue(number);
                break;
            case decimal number:
                json.WriteNumberValue(number);
                break;
            case float number when float.IsFinite(number):
                json.WriteNumberValue(number);
                break;
            case double number when double.IsFinite(number):
                json.WriteNumberValue(number);
                break;
            case JsonElement { ValueKind: not JsonValueKind.Undefined } element:
                // As it was written, digits and all; the library checks the whole.
                json.WriteRawValue(element.GetRawText(), skipInputValidation: true);
                break;
            default:
                throw new CommBoxValidationException(
                    code,
                    $"{path} must be a string, a bool, a finite number, null or a JsonElement, not this {value.GetType().Name}");
        }
    }
}
