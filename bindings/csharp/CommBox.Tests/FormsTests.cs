using System.Text;
using System.Text.Json;

namespace CommBox.Tests;

/// <summary>Updates from bytes and from elements of JSON documents.</summary>
public sealed class FormsTests : SandboxFixture
{
    private const string Json = """{"FirstName": "\u0041é",  "Content": {"Score": 1.50}}""";

    /// <summary>Each form: a call of a client and through its interface, synchronous or not.</summary>
    private static readonly (string Name, Func<CommBoxClient, Task<UpdateResult>> Call)[] Forms =
    [
        ("bytes", client => Task.FromResult(client.UpdateUserJson(1, Bytes))),
        ("bytes, asynchronous", client => client.UpdateUserJsonAsync(1, Bytes)),
        ("bytes, interface", client => Task.FromResult(((ICommBoxClient)client).UpdateUserJson(1, Bytes))),
        ("bytes, interface, asynchronous", client => ((ICommBoxClient)client).UpdateUserJsonAsync(1, Bytes)),
        ("element", client => Task.FromResult(client.UpdateUser(1, Element))),
        ("element, asynchronous", client => client.UpdateUserAsync(1, Element)),
        ("element, interface", client => Task.FromResult(((ICommBoxClient)client).UpdateUser(1, Element))),
        ("element, interface, asynchronous", client => ((ICommBoxClient)client).UpdateUserAsync(1, Element)),
    ];

    private static byte[] Bytes => Encoding.UTF8.GetBytes(Json);

    private static JsonElement Element => JsonDocument.Parse(Json).RootElement;

    [Test]
    public async Task JsonIsSentUnchanged()
    {
        using CommBoxClient client = Sandbox.Client();
        foreach ((string name, Func<CommBoxClient, Task<UpdateResult>> call) in Forms)
        {
            Sandbox.Reset();
            Assert.That((await call(client)).Id, Is.EqualTo(1), name);
            string body = Sandbox.Requests().Single().GetProperty("body").GetString()!;
            Assert.That(body, Is.EqualTo("{\"data\":" + Json + "}"), name);
        }
    }

    [Test]
    public async Task FakesNeedNotImplementTheJsonForms()
    {
        var fake = new Fake();
        ICommBoxClient client = fake;
        client.UpdateUserJson(1, Bytes);
        await client.UpdateUserJsonAsync(2, Bytes);
        client.UpdateUser(3, Element, new CommBoxCallOptions { MaxRetries = 0 });
        await client.UpdateUserAsync(4, Element);
        Assert.That(fake.Sent.Select(sent => sent.UserId), Is.EqualTo(new[] { 1, 2, 3, 4 }));
        Assert.That(fake.Sent.Select(sent => sent.Json), Is.All.EqualTo(Json));
    }

    [Test]
    public void InvalidTextOrElementIsRefused()
    {
        using CommBoxClient client = Sandbox.Client();
        ICommBoxClient fake = new Fake();
        byte[] broken = [.. "{\"FirstName\": \""u8, 0xff, .. "\"}"u8];
        byte[] cut = [.. "{}"u8, 0, .. "canary"u8];
        foreach (Action call in (Action[])
        [
            () => client.UpdateUserJson(1, broken), () => fake.UpdateUserJson(1, broken),
            () => client.UpdateUserJsonAsync(1, broken).GetAwaiter().GetResult(),
        ])
        {
            Assert.That(Refusal(call).Message, Is.EqualTo("userJson is not UTF-8: the byte at index 15 is not part of a character"));
        }
        Assert.That(Refusal(() => client.UpdateUserJson(1, cut)).Message, Does.StartWith("userJson has a NUL character at index 2"));
        Assert.That(Refusal(() => client.UpdateUser(1, default(JsonElement))).Message, Is.EqualTo("user is a JsonElement without a value"));
        JsonDocument document = JsonDocument.Parse("{}");
        JsonElement gone = document.RootElement;
        document.Dispose();
        Assert.That(Refusal(() => client.UpdateUser(1, gone)).Message, Does.Contain("Clone()"));
        Assert.That(Sandbox.Requests(), Is.Empty);
    }

    private static CommBoxValidationException Refusal(Action call)
    {
        var error = Assert.Throws<CommBoxValidationException>(() => call())!;
        Assert.That((error.Code, error.Delivery), Is.EqualTo((-1, CommBoxDelivery.NotSent)));
        return error;
    }

    private sealed class Fake : ICommBoxClient
    {
        internal List<(long UserId, string Json)> Sent { get; } = [];

        public UpdateResult UpdateUserJson(
            long userId, string userJson, CommBoxCallOptions? options, CancellationToken cancellationToken = default)
        {
            Sent.Add((userId, userJson));
            return new UpdateResult { Id = userId };
        }

        public Task<UpdateResult> UpdateUserJsonAsync(
            long userId, string userJson, CommBoxCallOptions? options, CancellationToken cancellationToken = default) =>
            Task.FromResult(UpdateUserJson(userId, userJson, options, cancellationToken));

        public int PendingCount => throw new NotSupportedException();

        public UpdateResult UpdateUser(long userId, UserInfo user, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public UpdateResult UpdateUser(
            long userId, UserInfo user, CommBoxCallOptions? options, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public UpdateResult UpdateUserJson(long userId, string userJson, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public Task<UpdateResult> UpdateUserAsync(
            long userId, UserInfo user, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public Task<UpdateResult> UpdateUserAsync(
            long userId, UserInfo user, CommBoxCallOptions? options, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public Task<UpdateResult> UpdateUserJsonAsync(
            long userId, string userJson, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public IAsyncEnumerable<CommBoxBatchResult> UpdateUsersAsync(
            IAsyncEnumerable<UserUpdate> updates,
            CommBoxBatchOptions? options = null,
            CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public IAsyncEnumerable<CommBoxBatchResult> UpdateUsersAsync(
            IEnumerable<UserUpdate> updates,
            CommBoxBatchOptions? options = null,
            CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public void ValidateUser(long userId, UserInfo user) => throw new NotSupportedException();

        public void ValidateUserJson(long userId, string userJson) => throw new NotSupportedException();

        public CommBoxStatistics GetStatistics() => throw new NotSupportedException();

        public string DiagnoseJson(CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public Task FlushAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public void Cancel() => throw new NotSupportedException();

        public void SetApiKey(string apiKey) => throw new NotSupportedException();

        public void SetMaxRequestsPerSecond(double rate) => throw new NotSupportedException();
    }
}
