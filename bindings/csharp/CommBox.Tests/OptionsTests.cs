namespace CommBox.Tests;

/// <summary>The options of a client.</summary>
public sealed class OptionsTests
{
    private static CommBoxClientOptions All => new()
    {
        BaseUrl = "http://10.0.0.1:8080/prefix",
        AllowHttp = true,
        ConnectTimeout = TimeSpan.FromSeconds(1.5),
        AttemptTimeout = TimeSpan.FromMilliseconds(2),
        Timeout = TimeSpan.FromDays(1),
        MaxRetries = 4,
        RetryBase = TimeSpan.FromMilliseconds(5),
        RetryCap = TimeSpan.FromMilliseconds(6),
        MaxRequestsPerSecond = 0.5,
        OrderPerUser = false,
        RateGroup = "crm-1",
        MaxIdleConnections = 7,
        IdleTimeout = TimeSpan.Zero,
        DnsTtl = TimeSpan.FromMilliseconds(9),
        Proxy = "",
        CaFile = Repository.PathOf("no-such.pem"),
        Validate = false,
        UserAgent = "crm-sync/2",
        Headers = { ["X-Gateway-Key"] = "secret", ["traceparent"] = "00-1-2-01" },
        RequestIdHeader = "X-Trace",
        UnknownFields = CommBoxUnknownFields.Allow,
        CustomFields = ["VIP_Status", "Score"],
    };

    [Test]
    public void EveryOptionIsWrittenUnderItsLibraryName()
    {
        CommBoxClientOptions options = All;
        options.CaFile = "ca.pem";
        options.ClientCertFile = "me.pem";
        options.ClientKeyFile = "me.key";
        Assert.That(options.ToJson(baseUrl: "https://unused.example"), Is.EqualTo(
            """{"base_url":"http://10.0.0.1:8080/prefix","allow_http":true,"connect_timeout_ms":1500,"attempt_timeout_ms":2,"total_timeout_ms":86400000,"max_retries":4,"retry_base_ms":5,"retry_cap_ms":6,"max_requests_per_second":0.5,"order_per_user":false,"rate_group":"crm-1","max_idle_connections":7,"idle_timeout_ms":0,"dns_ttl_ms":9,"proxy":"","ca_file":"ca.pem","client_cert_file":"me.pem","client_key_file":"me.key","validate":false,"unknown_fields":"allow","custom_fields":["VIP_Status","Score"],"user_agent":"crm-sync/2","headers":{"X-Gateway-Key":"secret","traceparent":"00-1-2-01"},"request_id_header":"X-Trace"}"""));
        Assert.That(new CommBoxClientOptions().ToJson(baseUrl: null), Is.EqualTo(Defaults("")));
    }

    /// <summary>What is always written, and one more option.</summary>
    private static string Defaults(string more) =>
        $$"""{"allow_http":false,{{more}}"order_per_user":true,"validate":true,"unknown_fields":"refuse"}""";

    [Test]
    public void LibraryKnowsEveryOption()
    {
        CommBoxClientOptions options = All;
        options.CaFile = null;
        if (OperatingSystem.IsWindows())
        {
            options.RateGroup = null;
        }
        using var client = new CommBoxClient("key", options);
        var error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("key", All))!;
        Assert.That(error.Message, Does.StartWith("CaFile names a file that does not exist"));
    }

    [Test]
    public void RateCanBeChanged()
    {
        using var client = new CommBoxClient("key");
        client.SetMaxRequestsPerSecond(0.001);
        client.SetMaxRequestsPerSecond(0);
        var error = Assert.Throws<CommBoxValidationException>(() => client.SetMaxRequestsPerSecond(double.NaN))!;
        Assert.That(error.Message, Does.StartWith("rate must be 0").And.Not.Contain("_"));
        Assert.That(error.Code, Is.EqualTo(-1));
    }

    [Test]
    public void EveryProblemIsReported()
    {
        var options = new CommBoxClientOptions { MaxRetries = -1, Timeout = TimeSpan.FromSeconds(-1), BaseUrl = "ftp://x" };
        var error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("key", options))!;
        Assert.That(error.Code, Is.EqualTo(-3));
        Assert.That(
            error.Message,
            Is.EqualTo("Timeout must not be negative; MaxRetries must not be negative; BaseUrl must start with https://"));
    }

    [Test]
    public void ProblemsOfAsynchronousCallsAreReportedWithTheOthers()
    {
        var options = new CommBoxClientOptions { MaxRetries = -1, MaxConcurrency = 0, OverallTimeout = TimeSpan.Zero };
        var error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("key", options))!;
        Assert.That(
            error.Message,
            Is.EqualTo(
                "MaxRetries must not be negative; MaxConcurrency must be from 1 to 256; "
                + "OverallTimeout must be from 1 ms to 24 hours"));
        Assert.That((error.Code, error.Name), Is.EqualTo((-3, "invalid_options")));
    }

    [Test]
    public void MessagesUseDotNetNamesOfOptions()
    {
        var options = new CommBoxClientOptions
        {
            Timeout = TimeSpan.Zero,
            RetryBase = TimeSpan.FromSeconds(9),
            BaseUrl = "http://crm.example",
        };
        var error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("key", options))!;
        Assert.That(
            error.Message,
            Does.StartWith("Timeout must be from 1 ms to 24 hours; RetryCap must be at least RetryBase; BaseUrl must be https")
                .And.EndsWith("or set AllowHttp)"));
    }

    [Test]
    public void InfiniteTimeoutIsTheLongestTimeout()
    {
        var endless = new CommBoxClientOptions { Timeout = Timeout.InfiniteTimeSpan };
        Assert.That(endless.ToJson(baseUrl: null), Is.EqualTo(Defaults("\"total_timeout_ms\":86400000,")));
        using var client = new CommBoxClient("key", endless);
    }

    [TestCase("Authorization", "canary", "Headers[\"Authorization\"]")]
    [TestCase("Host", "canary", "Headers[\"Host\"]")]
    [TestCase("X-Key", "canary\r\nX: y", "Headers[\"X-Key\"]")]
    public void InvalidHeaderIsReportedWithoutItsValue(string name, string value, string named)
    {
        var options = new CommBoxClientOptions { Headers = { [name] = value } };
        var error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("key", options))!;
        Assert.That(error.Message, Does.StartWith(named));
        Assert.That(error.ToString(), Does.Not.Contain("canary"));
        Assert.That((error.Code, error.Name), Is.EqualTo((-3, "invalid_options")));
    }

    [Test]
    public void ValuesThatJsonLacksAreRefused()
    {
        var endless = new CommBoxClientOptions { MaxRequestsPerSecond = double.PositiveInfinity };
        var error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("key", endless))!;
        Assert.That(error.Message, Is.EqualTo("MaxRequestsPerSecond must be a finite number"));
        Assert.That((error.Code, error.Name), Is.EqualTo((-3, "invalid_options")));
        var broken = new CommBoxClientOptions { UserAgent = "\ud800" };
        error = Assert.Throws<CommBoxValidationException>(() => new CommBoxClient("key", broken))!;
        Assert.That(error.Message, Does.StartWith("UserAgent has half of a surrogate pair"));
        Assert.That((error.Code, error.Name), Is.EqualTo((-3, "invalid_options")));
    }
}
