using System.Reflection;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>Settings are bound, and wrong ones stop the host before it starts.</summary>
public sealed class SettingsTests
{
    private const string TimeExpected =
        "CommBox:Timeout must be hours, minutes and seconds, such as \"00:00:30\"";

    private static IConfigurationSection Section(params (string Key, string? Value)[] settings) =>
        new ConfigurationBuilder()
            .AddInMemoryCollection(
                settings.Select(
                    setting => KeyValuePair.Create($"CommBox:{setting.Key}", setting.Value)))
            .Build()
            .GetSection("CommBox");

    /// <summary>Returns the message with which a host refuses to start.</summary>
    private static async Task<string> Refusal(params (string Key, string? Value)[] settings)
    {
        await using var service = new Service(
            [.. settings.Select(setting => ($"CommBox:{setting.Key}", setting.Value))]);
        service.Builder.Services.AddCommBox(service.Builder.Configuration.GetSection("CommBox"));
        return Assert
            .ThrowsAsync<OptionsValidationException>(() => service.Running.StartAsync())!.Message;
    }

    [Test]
    public void EveryOptionIsASetting()
    {
        var sample = new Dictionary<Type, (string Text, object Value)>
        {
            [typeof(string)] = ("text", "text"),
            [typeof(bool)] = ("true", true),
            [typeof(int)] = ("7", 7),
            [typeof(double)] = ("0.5", 0.5),
            [typeof(TimeSpan)] = ("00:00:30", TimeSpan.FromSeconds(30)),
            [typeof(CommBoxUnknownFields)] = ("allow", CommBoxUnknownFields.Allow),
        };
        int count = 0;
        foreach (PropertyInfo property in typeof(CommBoxClientOptions).GetProperties())
        {
            Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
            if (property.Name is "Log" or "LogLevel" or "Headers" or "CustomFields")
            {
                continue;
            }
            var options = new CommBoxClientOptions();
            // Names are those of configuration: without regard to case.
            List<string> problems = Settings.Bind(
                Section((property.Name.ToLowerInvariant(), sample[type].Text)), options);
            Assert.That(problems, Is.Empty);
            Assert.That(property.GetValue(options), Is.EqualTo(sample[type].Value), property.Name);
            count++;
        }
        Assert.That(count, Is.GreaterThan(20));
    }

    [Test]
    public void CollectionsAreSettings()
    {
        var options = new CommBoxClientOptions();
        IConfigurationSection section = Section(
            ("Headers:X-Gateway", "key"),
            ("CustomFields:0", "VIP_Status"),
            ("CustomFields:1", "Birth_Date"));
        Assert.That(Settings.Bind(section, options), Is.Empty);
        Assert.That(
            options.Headers, Is.EqualTo(new Dictionary<string, string> { ["X-Gateway"] = "key" }));
        Assert.That(options.CustomFields, Is.EqualTo(new[] { "VIP_Status", "Birth_Date" }));
    }

    [TestCase("MaxRetrys", "CommBox:MaxRetrys is an unknown setting; did you mean \"MaxRetries\"?")]
    [TestCase("max_retries", "CommBox:max_retries is an unknown setting; did you mean \"MaxRetries\"?")]
    [TestCase("BaseUri", "CommBox:BaseUri is an unknown setting; did you mean \"BaseUrl\"?")]
    [TestCase(
        "LogLevel",
        "CommBox:LogLevel is an unknown setting; the level of the log is Logging:LogLevel:CommBox")]
    [TestCase("Retention", "CommBox:Retention is an unknown setting; the settings are ApiKey, BaseUrl, ")]
    public async Task UnknownSettingIsRefusedWithASuggestion(string key, string expected) =>
        Assert.That(
            await Refusal(("ApiKey", "key"), (key, "canary")),
            Does.Contain(expected).And.Not.Contain("canary"));

    [TestCase("Timeout", "canary", TimeExpected)]
    [TestCase("Timeout", "10", TimeExpected)]
    [TestCase("Timeout:Seconds", "canary", TimeExpected + ", not an object")]
    [TestCase("MaxRetries", "canary", "CommBox:MaxRetries must be a whole number")]
    [TestCase("MaxRequestsPerSecond", "canary", "CommBox:MaxRequestsPerSecond must be a number")]
    [TestCase("AllowHttp", "canary", "CommBox:AllowHttp must be true or false")]
    [TestCase("UnknownFields", "canary", "CommBox:UnknownFields must be Refuse or Allow")]
    [TestCase("Headers", "canary", "CommBox:Headers must be an object of strings")]
    [TestCase("CustomFields", "canary", "CommBox:CustomFields must be an array of strings")]
    public async Task ValueOfTheWrongKindIsRefused(string key, string value, string expected) =>
        Assert.That(
            await Refusal(("ApiKey", "key"), (key, value)),
            Does.EndWith(expected).And.Not.Contain("canary"));

    [Test]
    public async Task AllProblemsAreReportedTogether()
    {
        string refusal = await Refusal(
            ("ApiKey", "canary-key"),
            ("MaxRetrys", "1"),
            ("Timeout", "00:00:00"),
            ("MaxConcurrency", "1000"));
        Assert.That(refusal, Does.StartWith("the CommBox client has wrong settings: "));
        Assert.That(
            refusal,
            Does.Contain("did you mean \"MaxRetries\"?").And.Contain("Timeout must be from 1 ms"));
        Assert.That(refusal, Does.Contain("MaxConcurrency must be").And.Not.Contain("canary"));
    }

    [Test]
    public async Task MissingKeyIsReported()
    {
        Assert.That(
            await Refusal(), Does.Contain("the API key is missing").And.Contain("COMMBOX_API_KEY"));
        using var variable = new EnvironmentVariable("COMMBOX_API_KEY", "key");
        await using var service = new Service();
        service.Builder.Services.AddCommBox(service.Builder.Configuration.GetSection("CommBox"));
        await service.Start();
    }

    [Test]
    public async Task RefusalContainsTheNameOfTheClient()
    {
        await using var service = new Service(
            ("Billing:ApiKey", "key"), ("Billing:MaxRetries", "-1"));
        service.Builder.Services.AddCommBox(
            "billing", service.Builder.Configuration.GetSection("Billing"));
        var error = Assert.ThrowsAsync<OptionsValidationException>(
            () => service.Running.StartAsync())!;
        Assert.That(
            error.Message,
            Does.StartWith("the CommBox client \"billing\" has wrong settings: MaxRetries "));
    }
}
