using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace CommBox;

/// <summary>Writes JSON for the library.</summary>
internal static class JsonText
{
    // The text is sent in a request and never embedded in HTML, so only what JSON requires is
    // escaped.
    private static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private const string WriteRoundtrip = "; write value.ToString(\"o\", CultureInfo.InvariantCulture)";

    /// <summary>The target of a writer that is not in use.</summary>
    private static readonly Stream Nowhere = Stream.Null;

    /// <summary>This thread's writer. Null while it is in use.</summary>
    [ThreadStatic]
    private static Utf8JsonWriter? t_writer;

    /// <summary>
    /// Returns an object with the members that <paramref name="members"/> writes.
    /// </summary>
    internal static string Object(Action<Utf8JsonWriter> members)
    {
        using NativeText text = ObjectToNative(members, static (members, json) => members(json));
        return text.ToString();
    }

    /// <summary>Returns the same as native text. The caller disposes it.</summary>
    internal static NativeText ObjectToNative<T>(T source, Action<T, Utf8JsonWriter> members) =>
        ToNative((source, members), static (given, json) =>
        {
            json.WriteStartObject();
            given.members(given.source, json);
            json.WriteEndObject();
        });

    /// <summary>Returns an element exactly as it was parsed. The caller disposes it.</summary>
    internal static NativeText ToNative(JsonElement element, string name) =>
        ToNative((element, name), static (given, json) =>
        {
            if (!given.element.IsDefined(given.name, Native.InvalidArgument))
            {
                throw new CommBoxValidationException($"{given.name} is a JsonElement without a value");
            }
            json.WriteElement(given.element, given.name, Native.InvalidArgument);
        });

    /// <summary>Returns an element exactly as it was parsed, as a string.</summary>
    internal static string Of(JsonElement element, string name)
    {
        using NativeText text = ToNative(element, name);
        return text.ToString();
    }

    /// <summary>
    /// Returns the element in an array, for calls that outlive the method that starts them.
    /// </summary>
    internal static byte[] ToTerminated(JsonElement element, string name)
    {
        using NativeText text = ToNative(element, name);
        return text.ToArray();
    }

    private static NativeText ToNative<T>(T source, Action<T, Utf8JsonWriter> write)
    {
        var text = new NativeText();
        // Writing members runs the caller's code, which may write another object on this thread.
        Utf8JsonWriter? json = t_writer;
        t_writer = null;
        if (json is null)
        {
            json = new Utf8JsonWriter(text, Plain);
        }
        else
        {
            json.Reset(text);
        }
        try
        {
            write(source, json);
            json.Flush();
            text.Terminate();
            t_writer = json;
            return text;
        }
        catch
        {
            text.Dispose();
            throw;
        }
        finally
        {
            json.Reset(Nowhere);
        }
    }

    /// <summary>
    /// Writes one member. <paramref name="path"/> is its name in an error, and
    /// <paramref name="code"/> is the error's code.
    /// </summary>
    /// <exception cref="CommBoxValidationException">
    /// JSON cannot represent the name or the value.
    /// </exception>
    internal static void WriteMember(this Utf8JsonWriter json, string name, object? value, string path, int code)
    {
        json.WritePropertyName(Utf8.Checked(name, "the name of a field", code));
        json.WriteValue(value, path, code);
    }

    private static void WriteValue(this Utf8JsonWriter json, object? value, string path, int code)
    {
        switch (value)
        {
            case null:
                json.WriteNullValue();
                break;
            case string text:
                json.WriteStringValue(Utf8.Checked(text, path, code));
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
                json.WriteRawValue(number.ToString("R", CultureInfo.InvariantCulture), skipInputValidation: true);
                break;
            case double number when double.IsFinite(number):
                json.WriteRawValue(Shortest(number), skipInputValidation: true);
                break;
            case JsonElement element when element.IsDefined(path, code):
                json.WriteElement(element, path, code);
                break;
            case JsonNode node:
                json.WriteNode(node, path, code);
                break;
            default:
                throw new CommBoxValidationException(
                    code,
                    $"{path} must be a string, a bool, a finite number, null, a JsonElement or a JsonNode, "
                        + $"not this {value.GetType().Name}{Instead(value)}");
        }
    }

    /// <summary>
    /// Returns the fewest digits that parse to this number. The writer's own format is not used: on
    /// .NET Framework it writes 0.10000000000000001 for 0.1.
    /// </summary>
    private static string Shortest(double number)
    {
        string text = number.ToString("R", CultureInfo.InvariantCulture);
        // On .NET Framework, some numbers do not survive the round trip.
        return double.Parse(text, CultureInfo.InvariantCulture).Equals(number)
            ? text
            : number.ToString("G17", CultureInfo.InvariantCulture);
    }

    /// <summary>
    /// Suggests what to write instead of a value that JSON cannot represent and CommBox stores as
    /// text.
    /// </summary>
    private static string Instead(object value) => value switch
    {
        DateTime or DateTimeOffset => WriteRoundtrip,
        TimeSpan => "; write value.ToString(\"c\", CultureInfo.InvariantCulture)",
        Guid or char or Uri or Enum => "; write value.ToString()",
        JsonDocument => "; write value.RootElement",
        JsonElement or double or float => "",
        // Compared by name, because not every target framework has these types.
        _ when value.GetType().FullName is "System.DateOnly" or "System.TimeOnly" => WriteRoundtrip,
        _ => "; write JsonSerializer.SerializeToNode(value)",
    };

    /// <summary>Returns whether the element has a value at all.</summary>
    private static bool IsDefined(this JsonElement element, string path, int code)
    {
        try
        {
            return element.ValueKind != JsonValueKind.Undefined;
        }
        catch (ObjectDisposedException error)
        {
            throw new CommBoxValidationException(
                code,
                $"{path} is a JsonElement whose JsonDocument is disposed; pass JsonElement.Clone() of it",
                error);
        }
    }

    /// <summary>
    /// Writes the element exactly as it was parsed, digits and escapes included. The parser may
    /// have accepted comments and trailing commas, which are not JSON: such an element is written
    /// without them.
    /// </summary>
    private static void WriteElement(this Utf8JsonWriter json, JsonElement element, string path, int code)
    {
        try
        {
            byte[] raw = Encoding.UTF8.GetBytes(element.GetRawText());
            if (IsStrict(raw))
            {
                json.WriteRawValue(raw, skipInputValidation: true);
            }
            else
            {
                element.WriteTo(json);
            }
        }
        catch (Exception error) when (error is ObjectDisposedException or InvalidOperationException)
        {
            // The element is disposed or nested too deeply, or contains half a surrogate pair
            // beside a comment.
            throw new CommBoxValidationException(
                code, $"{path} is a JsonElement that cannot be written as JSON; see the inner exception", error);
        }
    }

    /// <summary>
    /// Writes the node value by value. Values that were parsed are written exactly as they were;
    /// others are written as they would be outside of a node.
    /// </summary>
    private static void WriteNode(this Utf8JsonWriter json, JsonNode? node, string path, int code)
    {
        try
        {
            switch (node)
            {
                case JsonObject members:
                    json.WriteStartObject();
                    foreach ((string name, JsonNode? member) in members)
                    {
                        json.WritePropertyName(Utf8.Checked(name, $"a name in {path}", code));
                        json.WriteNode(member, path, code);
                    }
                    json.WriteEndObject();
                    break;
                case JsonArray items:
                    json.WriteStartArray();
                    foreach (JsonNode? item in items)
                    {
                        json.WriteNode(item, path, code);
                    }
                    json.WriteEndArray();
                    break;
                case JsonValue value when Primitive(value) is { } primitive:
                    json.WriteValue(primitive, path, code);
                    break;
                case null:
                    json.WriteNullValue();
                    break;
                default:
                    node.WriteTo(json);
                    break;
            }
        }
        catch (Exception error)
            when (error is InvalidOperationException or ArgumentException or JsonException or NotSupportedException)
        {
            // Nested too deeply, a duplicate name, a disposed document, or a value that only a
            // converter could write.
            throw new CommBoxValidationException(
                code, $"{path} is a JsonNode that cannot be written as JSON; see the inner exception", error);
        }
    }

    /// <summary>
    /// Returns the value of a node if its type is one that must be checked before writing.
    /// </summary>
    private static object? Primitive(JsonValue value) =>
        value.TryGetValue(out JsonElement element) ? element
        : value.TryGetValue(out string? text) ? text
        : value.TryGetValue(out double number) ? number
        : value.TryGetValue(out float single) ? single
        : null;

    private static bool IsStrict(ReadOnlySpan<byte> raw)
    {
        var reader = new Utf8JsonReader(raw, new JsonReaderOptions { MaxDepth = int.MaxValue });
        try
        {
            while (reader.Read())
            {
            }
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
