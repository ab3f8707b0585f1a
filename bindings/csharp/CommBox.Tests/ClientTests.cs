using System.Text.Json;

namespace CommBox.Tests;

/// <summary>Making a client, calling it and letting it go.</summary>
public sealed class ClientTests : SandboxFixture
{
    private const long Id = 94382332;

    [Test]
    public void UpdateUserSendsWhatIsSetAndReadsTheReply()
    {
        using CommBoxClient client = Sandbox.Client();
        var user = new UserInfo { FirstName = "Zoë 😀", Content = { ["VIP_Status"] = "8" } };
        UpdateResult result = client.UpdateUser(Id, user.SetNull("Phone2"));

        Assert.That(result.Id, Is.EqualTo(Id));
        Assert.That(result.Status, Is.EqualTo(200));
        Assert.That(result.Description, Is.EqualTo("Operation successful"));
        Assert.That(result.ResponseTime, Is.Not.Empty);
        Assert.That(JsonDocument.Parse(result.Raw).RootElement.GetProperty("data").GetProperty("Id").GetInt64(), Is.EqualTo(Id));
        JsonElement sent = JsonDocument.Parse(Sandbox.Requests().Single().GetProperty("body").GetString()!).RootElement;
        Assert.That(sent.GetProperty("data").GetProperty("Phone2").ValueKind, Is.EqualTo(JsonValueKind.Null));
        Assert.That(Sandbox.User(Id).GetProperty("FirstName").GetString(), Is.EqualTo("Zoë 😀"));
        Assert.That(Sandbox.User(Id).GetProperty("Content").GetProperty("VIP_Status").GetString(), Is.EqualTo("8"));
    }

    [Test]
    public void UpdateUserJsonSendsAndReturnsTextUnchanged()
    {
        const string reply = """{ "status": "200",  "data": {"Id": 1.0} }""";
        Sandbox.Script(JsonSerializer.Serialize(new[] { new { body = reply } }));
        using CommBoxClient client = Sandbox.Client();
        const string body = """{"data": {"FirstName":"John",  "Content": {"Score": 1.50}}}""";
        Assert.That(client.UpdateUserJson(Id, body).Raw, Is.EqualTo(reply));
        Assert.That(Sandbox.Requests().Single().GetProperty("body").GetString(), Is.EqualTo(body));
    }

    [Test]
    public async Task AsyncFormsDoTheSame()
    {
        using CommBoxClient client = Sandbox.Client();
        UpdateResult result = await client.UpdateUserAsync(Id, new UserInfo { FirstName = "John" });
        Assert.That(result.Id, Is.EqualTo(Id));
        Assert.That((await client.UpdateUserJsonAsync(Id, """{"LastName":"Doe"}""")).Id, Is.EqualTo(Id));
        Assert.That(Sandbox.User(Id).GetProperty("LastName").GetString(), Is.EqualTo("Doe"));
    }

    [Test]
    public void ThreadsShareAClient()
    {
        using CommBoxClient client = Sandbox.Client();
        var failures = new List<Exception>();
        Thread[] threads = [.. Enumerable.Range(1, 8).Select(id => new Thread(() => Update(id)))];
        foreach (Thread thread in threads)
        {
            thread.Start();
        }
        foreach (Thread thread in threads)
        {
            thread.Join();
        }
        Assert.That(failures, Is.Empty);
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(8 * 20));

        // Every other call fails, each with the reason of its own thread.
        void Update(int id)
        {
            try
            {
                for (int call = 0; call < 20; call++)
                {
                    Assert.That(client.UpdateUser(id, new UserInfo { Remarks = $"{call}" }).Id, Is.EqualTo(id));
                    var user = new UserInfo { FirstName = new string('x', 100 + id) };
                    var error = Assert.Throws<CommBoxValidationException>(() => client.UpdateUser(id, user))!;
                    Assert.That(error.Message, Does.Contain($"{100 + id} characters"));
                }
            }
            catch (Exception error)
            {
                lock (failures)
                {
                    failures.Add(error);
                }
            }
        }
    }

    [Test]
    public void DisposedClientRefusesEverything()
    {
        CommBoxClient client = Sandbox.Client();
        client.Dispose();
        client.Dispose();
        Assert.Throws<ObjectDisposedException>(() => client.UpdateUser(Id, new UserInfo()));
        Assert.Throws<ObjectDisposedException>(() => client.UpdateUserJson(Id, "{}"));
        Assert.Throws<ObjectDisposedException>(() => client.SetApiKey("key"));
        Assert.Throws<ObjectDisposedException>(client.Cancel);
        Assert.ThrowsAsync<ObjectDisposedException>(() => client.UpdateUserAsync(Id, new UserInfo()));
        Assert.That(Sandbox.Requests(), Is.Empty);
    }

    [Test]
    public void CallInFlightOutlivesDispose()
    {
        Sandbox.Script("""[{"status": 400, "delay_ms": 300}]""");
        CommBoxClient client = Sandbox.Client();
        Task<UpdateResult> call = client.UpdateUserAsync(Id, new UserInfo { FirstName = "John" });
        Assert.That(() => Sandbox.Requests(), Has.Length.EqualTo(1).After(5000, 10));
        client.Dispose();
        var error = Assert.ThrowsAsync<CommBoxApiException>(() => call)!;
        Assert.That(error.HttpStatus, Is.EqualTo(400));
        Assert.That(error.Message, Does.Contain("HTTP 400"));
    }

    [Test]
    public void SetApiKeyAppliesToTheNextCall()
    {
        using CommBoxClient client = Sandbox.Client("another-key");
        Assert.That(Assert.Throws<CommBoxApiException>(() => client.UpdateUserJson(Id, "{}"))!.Code, Is.EqualTo(401));
        Assert.Throws<CommBoxValidationException>(() => client.SetApiKey("a key"));
        client.SetApiKey(Sandbox.ApiKey);
        Assert.That(client.UpdateUserJson(Id, "{}").Id, Is.EqualTo(Id));
    }

    [Test]
    public void EnvironmentIsUsedIfNothingIsPassed()
    {
        using var url = new EnvironmentVariable("COMMBOX_BASE_URL", Sandbox.Url + "/prefix");
        using (new EnvironmentVariable("COMMBOX_API_KEY", null))
        {
            var error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient())!;
            Assert.That(error.Message, Does.Contain("COMMBOX_API_KEY"));
        }
        using var key = new EnvironmentVariable("COMMBOX_API_KEY", Sandbox.ApiKey);
        using var client = new CommBoxClient();
        client.UpdateUserJson(Id, "{}");
        using var other = new CommBoxClient("another-key", new CommBoxClientOptions { BaseUrl = Sandbox.Url });
        Assert.Throws<CommBoxApiException>(() => other.UpdateUserJson(Id, "{}"));
        Assert.That(
            Sandbox.Requests().Select(request => request.GetProperty("path").GetString()),
            Is.EqualTo(new[] { $"/prefix/users/{Id}", $"/users/{Id}" }));
    }

    [Test]
    public void KeyOfTheOptionsIsUsedIfNoneIsPassed()
    {
        using var variable = new EnvironmentVariable("COMMBOX_API_KEY", "key-of-the-environment");
        var options = new CommBoxClientOptions { BaseUrl = Sandbox.Url, ApiKey = Sandbox.ApiKey };
        using var client = new CommBoxClient(options: options);
        Assert.That(client.UpdateUserJson(Id, "{}").Id, Is.EqualTo(Id));
        using var other = new CommBoxClient("another-key", options);
        Assert.Throws<CommBoxApiException>(() => other.UpdateUserJson(Id, "{}"));
    }

    [TestCase("")]
    [TestCase("canary\nkey")]
    public void InvalidKeyIsReportedByItsDotNetName(string key)
    {
        var options = new CommBoxClientOptions { ApiKey = key };
        Exception error = Assert.Throws<CommBoxValidationException>(
            () => new CommBoxClient(options: options))!;
        Assert.That(error.Message, Does.StartWith("ApiKey ").And.Not.Contain("canary"));
        error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient(key))!;
        Assert.That(error.Message, Does.StartWith("apiKey ").And.Not.Contain("canary"));
        using CommBoxClient client = Sandbox.Client();
        error = Assert.Throws<CommBoxValidationException>(() => client.SetApiKey(key))!;
        Assert.That(error.Message, Does.StartWith("apiKey ").And.Not.Contain("canary"));
    }

    [Test]
    public void TextThatCWouldTruncateOrChangeIsRefused()
    {
        using CommBoxClient client = Sandbox.Client();
        Refused("apiKey", text => new CommBoxClient(text));
        Refused("apiKey", client.SetApiKey);
        Refused("userJson", text => client.UpdateUserJson(Id, text));
        Assert.That(Sandbox.Requests(), Is.Empty);

        static void Refused(string parameter, Action<string> call)
        {
            var nul = Assert.Throws<CommBoxValidationException>(() => call("{}\0{}"))!;
            Assert.That(nul.Message, Does.StartWith($"{parameter} has a NUL character at index 2"));
            var half = Assert.Throws<CommBoxValidationException>(() => call("{}\ud800"))!;
            Assert.That(half.Message, Does.StartWith($"{parameter} has half of a surrogate pair at index 2"));
            foreach (CommBoxValidationException error in new[] { nul, half })
            {
                Assert.That((error.Code, error.Name), Is.EqualTo((-1, "invalid_argument")));
            }
        }
    }

    [Test]
    public void NullThrowsArgumentNullException()
    {
        using CommBoxClient client = Sandbox.Client();
        Assert.Throws<ArgumentNullException>(() => client.UpdateUser(Id, null!));
        Assert.Throws<ArgumentNullException>(() => client.UpdateUserJson(Id, (string)null!));
        Assert.ThrowsAsync<ArgumentNullException>(() => client.UpdateUserAsync(Id, null!));
        Assert.Throws<ArgumentNullException>(() => client.SetApiKey(null!));
    }

    [Test]
    public async Task TestDoubleNeedsNoServer()
    {
        using CommBoxClient client = new Double();
        Assert.That(client.UpdateUser(Id, new UserInfo()).Id, Is.EqualTo(7));
        Assert.That((await client.UpdateUserAsync(Id, new UserInfo())).Id, Is.EqualTo(7));
        using JsonDocument document = JsonDocument.Parse("{}");
        Assert.That(client.UpdateUserJson(Id, "{}"u8).Id, Is.EqualTo(7));
        Assert.That((await client.UpdateUserJsonAsync(Id, "{}"u8)).Id, Is.EqualTo(7));
        Assert.That(client.UpdateUser(Id, document.RootElement).Id, Is.EqualTo(7));
        Assert.That((await client.UpdateUserAsync(Id, document.RootElement)).Id, Is.EqualTo(7));
        client.SetApiKey("key");
        client.SetMaxRequestsPerSecond(5);
        client.Cancel();
        Assert.That((client.GetStatistics().Calls, client.PendingCount), Is.EqualTo((0, 0)));
        await client.FlushAsync();
        var results = new List<CommBoxBatchResult>();
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(
            [new UserUpdate(1, "{}"), new UserUpdate(2, "{}")]))
        {
            results.Add(result);
        }
        Assert.That(results.Select(result => (result.Index, result.Result?.Id)), Is.EqualTo(new[] { (0, 7), (1, 7) }));
        await using CommBoxClient bare = new Bare();
        var error = Assert.ThrowsAsync<NotImplementedException>(() => bare.UpdateUserJsonAsync(Id, "{}"))!;
        Assert.That(error.Message, Does.Contain(nameof(Bare)));
        Assert.Throws<NotImplementedException>(() => bare.ValidateUserJson(Id, "{}"));
    }

    private sealed class Bare : CommBoxClient;

    private sealed class Double : CommBoxClient
    {
        public override UpdateResult UpdateUserJson(
            long userId, string userJson, CommBoxCallOptions? options, CancellationToken cancellationToken = default) =>
            new() { Raw = """{"data":{"Id":7}}""" };

        public override Task<UpdateResult> UpdateUserJsonAsync(
            long userId, string userJson, CommBoxCallOptions? options, CancellationToken cancellationToken = default) =>
            Task.FromResult(UpdateUserJson(userId, userJson, options, cancellationToken));
    }
}
