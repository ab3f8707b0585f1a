using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace CommBox.Tests;

/// <summary>Which exception a failure becomes, and what it tells.</summary>
public sealed class ErrorTests : SandboxFixture
{
    private const string Key = "canary-key";
    private const string Value = "canary-value";

    [Test]
    public void RateLimit()
    {
        Sandbox.Script("""[{"status": 429, "headers": {"Retry-After": "7"}}]""");
        // It is waited out, unless that takes too long.
        var options = new CommBoxClientOptions { Timeout = TimeSpan.FromSeconds(6) };
        using CommBoxClient client = Sandbox.Client(options);
        var error = Assert.Throws<CommBoxRateLimitException>(() => client.UpdateUser(1, new UserInfo()))!;
        Assert.That((error.Code, error.Name, error.Delivery),
            Is.EqualTo((429, "rate_limited", CommBoxDelivery.Answered)));
        var held = Assert.Throws<CommBoxRateLimitException>(() => client.UpdateUser(2, new UserInfo()))!;
        Assert.That((held.Code, held.Name, held.Delivery),
            Is.EqualTo((-11, "throttled", CommBoxDelivery.NotSent)));
        Assert.That(held.RetryAfter, Is.GreaterThan(TimeSpan.FromSeconds(5)));
        Assert.That(error, Is.InstanceOf<CommBoxApiException>());
        Assert.That(error.HttpStatus, Is.EqualTo(429));
        Assert.That(error.Description, Is.EqualTo("Too Many Requests"));
        Assert.That(error.ResponseTime, Is.Not.Empty);
        Assert.That(error.RetryAfter, Is.EqualTo(TimeSpan.FromSeconds(7)));
        Assert.That(error.Attempts, Is.EqualTo(1));
        Assert.That(error.Elapsed, Is.LessThan(TimeSpan.FromSeconds(5)));
        Assert.That(error.Response, Does.StartWith("{"));
        Assert.That((error.IsTransient, held.IsTransient), Is.EqualTo((true, true)));
    }

    [Test]
    public void TextForLogsOmitsTheServersMessage()
    {
        Sandbox.Script("""[{"status": 400, "headers": {"X-Request-Id": "r-1"}, "body": "canary"}]""");
        using CommBoxClient client = Sandbox.Client();
        var error = Assert.Throws<CommBoxApiException>(() => client.UpdateUser(1, new UserInfo { Email = "canary" }))!;
        string text = error.ToString();
        Assert.That(text, Does.StartWith($"CommBox.CommBoxApiException: {error.Message} (Code = 400, Delivery = Answered, "));
        Assert.That(text, Does.Contain("RequestId = r-1)").And.Contain(nameof(CommBoxClient.UpdateUser)));
        Assert.That(text, Does.Not.Contain("canary"));
        var inner = new CommBoxTimeoutException("m", new InvalidOperationException("why")).ToString();
        Assert.That(inner, Does.StartWith("CommBox.CommBoxTimeoutException: m (Code = -7,").And.Contain("why"));
    }

    [Test]
    public void Api()
    {
        var error = Fails<CommBoxApiException>(401, "unauthorized", CommBoxDelivery.Answered);
        Assert.That(error.RetryAfter, Is.Null);
        Sandbox.Script("""[{"status": 503, "body": "busy"}]""");
        error = Fails<CommBoxApiException>(503, "server_error", CommBoxDelivery.Answered);
        Assert.That(error.Description, Is.Null);
        Assert.That(error.Response, Is.EqualTo("busy"));
    }

    [Test]
    public void UndocumentedReply()
    {
        Sandbox.Script("""[{"status": 200, "body": "<html>"}]""");
        var error = Fails<CommBoxApiException>(-9, "bad_response", CommBoxDelivery.Answered);
        Assert.That(error.HttpStatus, Is.EqualTo(200));
        Assert.That(error.Response, Is.EqualTo("<html>"));
    }

    [Test]
    public void Connection()
    {
        Sandbox.Script("""[{"reset": true}]""");
        var error = Fails<CommBoxConnectionException>(-5, "connection", CommBoxDelivery.Unknown);
        Assert.That(error.HttpStatus, Is.Null);
        Assert.That(error.Response, Is.Null);

        var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        string nobody = $"http://{listener.LocalEndpoint}";
        listener.Stop();
        using var client = new CommBoxClient(Key, new CommBoxClientOptions { BaseUrl = nobody, MaxRetries = 0, Proxy = "" });
        Fails<CommBoxConnectionException>(-5, "connection", CommBoxDelivery.NotSent, client);
    }

    [Test]
    public void LateReply()
    {
        Sandbox.Script("""[{"status": 200, "delay_ms": 3000}]""");
        using CommBoxClient client = Sandbox.Client(Key, timeout: TimeSpan.FromMilliseconds(200));
        var error = Fails<CommBoxTimeoutException>(-7, "timeout", CommBoxDelivery.Unknown, client);
        Assert.That(error.Elapsed, Is.InRange(TimeSpan.FromMilliseconds(190), TimeSpan.FromSeconds(2.9)));
    }

    [Test]
    public void Validation()
    {
        using CommBoxClient client = Sandbox.Client();
        var user = new UserInfo { FirstName = new string('x', 101), Email = new string('y', 256) };
        var error = Assert.Throws<CommBoxValidationException>(() => client.UpdateUser(1, user))!;
        Assert.That((error.Code, error.Name), Is.EqualTo((-4, "invalid_user")));
        Assert.That((error.Delivery, error.Attempts), Is.EqualTo((CommBoxDelivery.NotSent, 0)));
        Assert.That(error.Message, Does.Contain("FirstName").And.Contain("Email"));
        error = Assert.Throws<CommBoxValidationException>(() => client.UpdateUser(0, new UserInfo()))!;
        Assert.That((error.Code, error.Name), Is.EqualTo((-1, "invalid_argument")));
        Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("a key"));
    }

    [Test]
    public void AsyncFormsRaiseTheSame()
    {
        Sandbox.Script("""[{"status": 503, "headers": {"Retry-After": "7"}}]""");
        using CommBoxClient client = Sandbox.Client();
        var error = Assert.ThrowsAsync<CommBoxApiException>(() => client.UpdateUserAsync(1, new UserInfo()))!;
        Assert.That(error.RetryAfter, Is.EqualTo(TimeSpan.FromSeconds(7)));
    }

    [Test]
    public void CancellationThrowsOperationCanceledException()
    {
        var error = (OperationCanceledException)CommBoxException.FromJson(Json(-8, "\"unknown\""));
        Assert.That(error.Message, Is.EqualTo("m"));
        Assert.That(((CommBoxException)error.InnerException!).Delivery,
            Is.EqualTo(CommBoxDelivery.Unknown));
    }

    [Test]
    public void ExceptionsCreatedByTestsHaveTheCodesOfTheirTypes()
    {
        var cause = new InvalidDataException();
        CommBoxException[] made =
        [
            new CommBoxException("m", cause),
            new CommBoxApiException("m", cause) { Code = 404 },
            new CommBoxRateLimitException("m", cause),
            new CommBoxConnectionException("m", cause),
            new CommBoxTimeoutException("m", cause),
            new CommBoxValidationException("m", cause),
        ];
        Assert.That(made.Select(error => error.InnerException), Is.All.SameAs(cause));
        Assert.That(made.Select(error => error.Code), Is.EqualTo(new[] { 0, 404, 429, -5, -7, -1 }));
        Assert.That(
            made.Select(error => error.Name),
            Is.EqualTo(new[] { "", "", "rate_limited", "connection", "timeout", "invalid_argument" }));
        Assert.That(
            made.Select(error => error.Delivery),
            Is.EqualTo(new[]
            {
                CommBoxDelivery.Unknown, CommBoxDelivery.Answered, CommBoxDelivery.Answered, CommBoxDelivery.Unknown,
                CommBoxDelivery.Unknown, CommBoxDelivery.NotSent,
            }));
        Assert.That(
            made.Select(error => error.IsTransient), Is.EqualTo(new[] { false, false, true, true, true, false }));
        Assert.That(new CommBoxRateLimitException("x").Code, Is.EqualTo(429));
        Assert.That(default(CommBoxDelivery), Is.EqualTo(CommBoxDelivery.Unknown));
    }

    [TestCase(-2, typeof(CommBoxException))]
    [TestCase(-10, typeof(CommBoxException))]
    [TestCase(-99, typeof(CommBoxException))]
    [TestCase(-6, typeof(CommBoxConnectionException))]
    [TestCase(302, typeof(CommBoxApiException))]
    [TestCase(599, typeof(CommBoxApiException))]
    public void UnknownCodesAreHandledByRange(int code, Type type) =>
        Assert.That(CommBoxException.FromJson(Json(code, "\"not_sent\"")), Is.TypeOf(type));

    /// <summary>Those of the header, with their names.</summary>
    [Test]
    public void CodesMatchTheHeader()
    {
        string header = File.ReadAllText(Repository.PathOf("include", "commbox.h"));
        IEnumerable<string> declared = typeof(CommBoxErrorCode).GetFields()
            .Select(code => $"{Snake(code.Name)} {code.GetRawConstantValue()}");
        IEnumerable<string> expected = Regex.Matches(header, @"#define COMMBOX_(\w+ (?:-\d+|[45]\d\d))\n")
            .Select(code => code.Groups[1].Value);
        Assert.That(declared, Is.EquivalentTo(expected));

        static string Snake(string name) => Regex.Replace(name, "(?<=[a-z])(?=[A-Z])", "_").ToUpperInvariant();
    }

    [Test]
    public void LargestRetryAfterIsTimeSpanMaxValue()
    {
        var error = (CommBoxException)CommBoxException.FromJson(Json(429, "\"answered\"", ulong.MaxValue));
        Assert.That(error.RetryAfter, Is.EqualTo(TimeSpan.MaxValue));
    }

    private static string Json(int code, string delivery, ulong? retryAfter = null) =>
        $$"""
        {"code":{{code}},"name":"n","message":"m","http_status":null,"description":null,"response_time":null,
        "retry_after_ms":{{retryAfter?.ToString() ?? "null"}},"attempts":0,"elapsed_ms":0,"delivery":{{delivery}},"response":null,
        "request_id":null,"problems":[]}
        """;

    /// <summary>Makes a call that fails so; the exception must not print the key or a value of the user.</summary>
    private T Fails<T>(int code, string name, CommBoxDelivery delivery, CommBoxClient? client = null)
        where T : CommBoxException
    {
        using CommBoxClient own = Sandbox.Client(Key);
        var user = new UserInfo { FirstName = Value, Content = { [Value] = Value } };
        T error = Assert.Throws<T>(() => (client ?? own).UpdateUser(94382332, user))!;
        Assert.That((error.Code, error.Name, error.Delivery), Is.EqualTo((code, name, delivery)), error.Message);
        Assert.That(error.ToString(), Does.Not.Contain("canary"));
        return error;
    }
}
