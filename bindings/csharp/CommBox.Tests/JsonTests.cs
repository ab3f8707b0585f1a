using System.Text.Json;
using System.Text.Json.Serialization;

namespace CommBox.Tests;

/// <summary>
/// Users and updates through System.Text.Json, as queues and web programs send them.
/// </summary>
public sealed partial class JsonTests
{
    private static readonly JsonSerializerOptions Web = new(JsonSerializerDefaults.Web);

    /// <summary>Each way to serialize: by reflection, as web programs do, and generated.</summary>
    private static readonly (JsonSerializerOptions Options, string Name)[] Ways =
        [(JsonSerializerOptions.Default, "reflection"), (Web, "web"), (Generated.Default.Options, "generated")];

    [Test]
    public void UserIsSerializedAsItIsSent([Range(0, 2)] int way)
    {
        JsonSerializerOptions options = Ways[way].Options;
        UserInfo user = new UserInfo { LastName = "X", Content = { ["Score"] = 1.10m, ["None"] = null } }
            .SetNull("Phone2");
        string json = JsonSerializer.Serialize(user, options);
        Assert.That(json, Is.EqualTo(user.ToJson()));
        Assert.That(json, Is.EqualTo("""{"LastName":"X","Phone2":null,"Content":{"Score":1.10,"None":null}}"""));
        UserInfo read = JsonSerializer.Deserialize<UserInfo>(json, options)!;
        Assert.That(read.ToJson(), Is.EqualTo(json));
        Assert.That((read.LastName, read.Phone2), Is.EqualTo(("X", null as string)));
        Assert.That(JsonSerializer.Serialize(new UserInfo(), options), Is.EqualTo("{}"));
        Assert.That(JsonSerializer.Deserialize<UserInfo>("null", options), Is.Null);
    }

    [Test]
    public void UnknownMembersAreKept()
    {
        const string json = """{"firstname":"John","Score":1.50,"Tags":["a",{"b":null}],"Content":{"é":"שלום","n":[1e2]}}""";
        Assert.That(JsonSerializer.Deserialize<UserInfo>(json)!.ToJson(), Is.EqualTo(json));
        const string wrapped = """{"data":{"FirstName":"John"}}""";
        Assert.That(JsonSerializer.Deserialize<UserInfo>(wrapped)!.ToJson(), Is.EqualTo(wrapped));
        const string content = """{"Content":null}""";
        Assert.That(JsonSerializer.Deserialize<UserInfo>(content)!.ToJson(), Is.EqualTo(content));
    }

    [Test]
    public void CaseIsIgnoredIfTheSerializerIgnoresIt()
    {
        const string json = """{"firstName":"John","phone2":null,"content":{"vip":"8"}}""";
        UserInfo user = JsonSerializer.Deserialize<UserInfo>(json, Web)!;
        Assert.That(user.FirstName, Is.EqualTo("John"));
        Assert.That(user.ToJson(), Is.EqualTo("""{"FirstName":"John","Phone2":null,"Content":{"vip":"8"}}"""));
        Assert.That(JsonSerializer.Deserialize<UserInfo>(json)!.ToJson(), Does.StartWith("""{"firstName":"""));
    }

    [TestCase("""{"FirstName": 5}""", "FirstName must be a string or null")]
    [TestCase("""{"Email": {"canary": 1}}""", "Email must be a string or null")]
    [TestCase("""["canary"]""", "a user must be a JSON object")]
    public void InvalidUserIsRefused(string json, string why)
    {
        var error = Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<UserInfo>(json))!;
        Assert.That(error.Message, Does.StartWith(why).And.Not.Contain("canary"));
    }

    [Test]
    public void UpdateIsSerializedAndDeserialized([Range(0, 2)] int way)
    {
        JsonSerializerOptions options = Ways[way].Options;
        const string body = """{"data": {"FirstName":"John",  "Score": 1.50}}""";
        UserUpdate[] updates =
        [
            new(1, new UserInfo { LastName = "X" }.SetNull("Phone1")) { Tag = "row-1" },
            new(2, body) { Tag = 7 },
            new(long.MaxValue, "{}"),
        ];
        string json = JsonSerializer.Serialize(updates, options);
        Assert.That(json, Does.StartWith("""[{"UserId":1,"User":{"LastName":"X","Phone1":null},"Tag":"row-1"},{"UserId":2,"""));
        UserUpdate[] read = JsonSerializer.Deserialize<UserUpdate[]>(json, options)!;
        Assert.That(read.Select(update => update.UserId), Is.EqualTo(updates.Select(update => update.UserId)));
        Assert.That(read.Select(update => update.ToJson()), Is.EqualTo(updates.Select(update => update.ToJson())));
        Assert.That(read.Select(update => update.Tag), Is.EqualTo(new object?[] { "row-1", 7L, null }));
        Assert.That(read[1].Json, Is.EqualTo(body));
    }

    [TestCase("""{"User":{}}""", "UserId is missing")]
    [TestCase("""{"UserId":"1","User":{}}""", "UserId must be a whole number")]
    [TestCase("""{"UserId":1}""", "an update must have either User or Json")]
    [TestCase("""{"UserId":1,"User":{},"Json":"{}"}""", "an update must have either User or Json")]
    [TestCase("""{"UserId":1,"Json":{}}""", "Json must be a string")]
    [TestCase("""{"UserId":1,"canary":{}}""", "an update has no member of this name; it has UserId, User, Json, Tag")]
    [TestCase("[]", "an update must be a JSON object")]
    public void InvalidUpdateIsRefused(string json, string why)
    {
        var error = Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<UserUpdate>(json))!;
        Assert.That(error.Message, Does.StartWith(why).And.Not.Contain("canary"));
    }

    [Test]
    public void TagThatJsonCannotRepresentIsRefused()
    {
        var update = new UserUpdate(1, "{}") { Tag = new Uri("https://canary.example") };
        var error = Assert.Throws<CommBoxValidationException>(() => JsonSerializer.Serialize(update))!;
        Assert.That(error.Message, Does.StartWith("Tag must be").And.Not.Contain("canary"));
    }

    [JsonSerializable(typeof(UserInfo))]
    [JsonSerializable(typeof(UserUpdate[]))]
    private sealed partial class Generated : JsonSerializerContext;
}
