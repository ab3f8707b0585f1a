using System.Text.Json;
using System.Text.Json.Nodes;

namespace CommBox.Tests;

/// <summary>A user as JSON.</summary>
public sealed class UserInfoTests
{
    [Test]
    public void OnlySetFieldsAreWritten()
    {
        Assert.That(new UserInfo().ToJson(), Is.EqualTo("{}"));
        var user = new UserInfo { FirstName = "John", LastName = null, Email = "" };
        Assert.That(user.ToJson(), Is.EqualTo("""{"FirstName":"John","Email":""}"""));
    }

    [Test]
    public void EveryFieldHasItsApiName()
    {
        var user = new UserInfo
        {
            UniqueId = "1", FirstName = "2", LastName = "3", Email = "4", Phone1 = "5", Phone2 = "6", Remarks = "7",
            Content = { ["VIP_Status"] = "8" },
        };
        Assert.That(user.ToJson(), Is.EqualTo(
            """{"UniqueId":"1","FirstName":"2","LastName":"3","Email":"4","Phone1":"5","Phone2":"6","Remarks":"7","Content":{"VIP_Status":"8"}}"""));
    }

    [Test]
    public void RequestedNullIsWrittenUntilTheFieldIsSet()
    {
        UserInfo user = new UserInfo { Phone1 = "1" }.SetNull(nameof(UserInfo.Phone1)).SetNull("Remarks");
        Assert.That(user.Phone1, Is.Null);
        Assert.That(user.ToJson(), Is.EqualTo("""{"Phone1":null,"Remarks":null}"""));
        user.Phone1 = "2";
        user.Remarks = null;
        Assert.That(user.ToJson(), Is.EqualTo("""{"Phone1":"2"}"""));
    }

    [Test]
    public void ContentAcceptsJsonTypes()
    {
        using JsonDocument document = JsonDocument.Parse("""{ "a": [1.50, "\ud83d\ude00"] }""");
        var user = new UserInfo
        {
            Content =
            {
                ["text"] = "t", ["yes"] = true, ["none"] = null, ["byte"] = (byte)1, ["int"] = -2, ["long"] = long.MinValue,
                ["ulong"] = ulong.MaxValue, ["float"] = 0.5f, ["double"] = 1e300, ["decimal"] = 1.10m,
                ["element"] = document.RootElement,
            },
        };
        Assert.That(user.ToJson(), Is.EqualTo(
            """{"Content":{"text":"t","yes":true,"none":null,"byte":1,"int":-2,"long":-9223372036854775808,"ulong":18446744073709551615,"float":0.5,"double":1E+300,"decimal":1.10,"element":{ "a": [1.50, "\ud83d\ude00"] }}}"""));
    }

    [TestCase(
        """{"a": 1.50, /* note */ "b": [1e2, 12345678901234567890]}""",
        """{"a":1.50,"b":[1e2,12345678901234567890]}""")]
    [TestCase("""{"a": "// no comment", }""", """{"a":"// no comment"}""")]
    [TestCase("""{"a": "// no comment \u0041"}""", """{"a": "// no comment \u0041"}""")]
    [TestCase("[\"/**/\", 1, // note\n2]", """["/**/",1,2]""")]
    public void ElementIsSentWithoutItsComments(string parsed, string sent)
    {
        var options = new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };
        using JsonDocument document = JsonDocument.Parse(parsed, options);
        var user = new UserInfo { Content = { ["a"] = document.RootElement } };
        Assert.That(user.ToJson(), Is.EqualTo("{\"Content\":{\"a\":" + sent + "}}"));
    }

    [Test]
    public void UnwritableElementIsReported()
    {
        JsonDocument document = JsonDocument.Parse("[1]");
        var user = new UserInfo { Content = { ["a"] = document.RootElement } };
        document.Dispose();
        var error = Assert.Throws<CommBoxValidationException>(() => user.ToJson())!;
        Assert.That(error.Message, Does.Contain("Content.a").And.Contain("Clone()"));
        Assert.That(error.InnerException, Is.InstanceOf<ObjectDisposedException>());

        var options = new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip };
        using JsonDocument half = JsonDocument.Parse("""["\ud800" /* */]""", options);
        user.Content["a"] = half.RootElement;
        error = Assert.Throws<CommBoxValidationException>(() => user.ToJson())!;
        Assert.That(error.Message, Does.Contain("Content.a"));
    }

    [TestCase(double.NaN)]
    [TestCase(float.PositiveInfinity)]
    public void ContentRefusesTypesThatJsonLacks(object value) => Refuses(value, value.GetType().Name);

    [TestCase('c')]
    [TestCase(DayOfWeek.Friday)]
    public void ContentSuggestsWhatToWriteInstead(object value) =>
        Refuses(value, $"{value.GetType().Name}; write value.ToString()");

    [Test]
    public void ContentRefusesObjects()
    {
        Refuses(DateTime.UnixEpoch, "; write value.ToString(\"o\", CultureInfo.InvariantCulture)");
        Refuses(DateOnly.MinValue, "; write value.ToString(\"o\", CultureInfo.InvariantCulture)");
        Refuses(Guid.Empty, "not this Guid; write value.ToString()");
        Refuses(default(JsonElement), "JsonElement");
        using JsonDocument document = JsonDocument.Parse("{}");
        Refuses(document, "; write value.RootElement");
        Refuses(new[] { 1 }, "; write JsonSerializer.SerializeToNode(value)");
    }

    [Test]
    public void ContentAcceptsNodes()
    {
        JsonNode parsed = JsonNode.Parse("""{"a":[1.50,"\ud83d\ude00",null],"b":{"c":12345678901234567890}}""")!;
        parsed["d"] = 0.1;
        parsed["e"] = "é<";
        var user = new UserInfo { Content = { ["node"] = parsed, ["value"] = JsonValue.Create(7) } };
        Assert.That(user.ToJson(), Is.EqualTo(
            """{"Content":{"node":{"a":[1.50,"\ud83d\ude00",null]"""
            + ""","b":{"c":12345678901234567890},"d":0.1,"e":"é<"},"value":7}}"""));
        JsonNode? read = JsonNode.Parse(JsonSerializer.Serialize(user));
        Assert.That(JsonNode.DeepEquals(read, JsonNode.Parse(user.ToJson())));
    }

    [Test]
    public void UnwritableNodeIsReported()
    {
        JsonNode nested = new JsonArray();
        for (int depth = 0; depth < 2000; depth++)
        {
            nested = new JsonArray(nested);
        }
        foreach (JsonNode node in (JsonNode[])
        [
            JsonValue.Create("ab\ud83d"), new JsonArray("ab\ud83d"), new JsonObject { ["ab\ud83d"] = 1 },
            JsonValue.Create(double.NaN), new JsonArray(float.NegativeInfinity), nested,
            JsonNode.Parse("""{"canary":1,"canary":2}""")!,
        ])
        {
            var user = new UserInfo { Content = { ["Custom"] = node } };
            var error = Assert.Throws<CommBoxValidationException>(() => user.ToJson(), node.GetType().Name)!;
            Assert.That(error.Message, Does.Contain("Content.Custom").And.Not.Contain("canary"));
            Assert.That((error.Code, error.Name), Is.EqualTo((-4, "invalid_user")));
        }
    }

    [Test]
    public void TextForLogsContainsFieldNamesButNoValues()
    {
        UserInfo user = new UserInfo { FirstName = "canary", Content = { ["canary"] = "canary" } }.SetNull("Phone2");
        user.SetNull("canary");
        Assert.That($"{user}", Is.EqualTo("UserInfo { FirstName, Phone2, 2 other fields }"));
        Assert.That($"{new UserInfo { Email = "canary" }}", Is.EqualTo("UserInfo { Email }"));
        Assert.That($"{new UserInfo()}", Is.EqualTo("UserInfo {  }"));
    }

    private static void Refuses(object value, string type)
    {
        var user = new UserInfo { Content = { ["Custom"] = value } };
        var error = Assert.Throws<CommBoxValidationException>(() => user.ToJson())!;
        Assert.That(error.Message, Does.StartWith("Content.Custom must be").And.EndWith(type));
        Assert.That((error.Code, error.Name), Is.EqualTo((-4, "invalid_user")));
    }

    [Test]
    public void TextIsSentUnchanged()
    {
        const string text = "\"\\/\b\0\u001f é שלום 😀 <&'+\u2028";
        using JsonDocument document = JsonDocument.Parse(new UserInfo { Remarks = text, Content = { [text] = text } }.ToJson());
        Assert.That(document.RootElement.GetProperty("Remarks").GetString(), Is.EqualTo(text));
        Assert.That(document.RootElement.GetProperty("Content").GetProperty(text).GetString(), Is.EqualTo(text));
    }

    [Test]
    public void LoneSurrogateIsRefusedAndReported()
    {
        foreach (string half in new[] { "ab\ud83d", "ab\ude00", "ab\ud83dx" })
        {
            Refused(new UserInfo { FirstName = half }, "FirstName");
            Refused(new UserInfo { Content = { ["Custom"] = half } }, "Content.Custom");
            Refused(new UserInfo { Content = { [half] = 1 } }, "the name of a field");
            Refused(new UserInfo().SetNull(half), "the name of a field");
        }

        static void Refused(UserInfo user, string named)
        {
            var error = Assert.Throws<CommBoxValidationException>(() => user.ToJson())!;
            Assert.That(error.Message, Does.StartWith($"{named} has half of a surrogate pair at index 2"));
            Assert.That((error.Code, error.Name), Is.EqualTo((-4, "invalid_user")));
        }
    }
}
