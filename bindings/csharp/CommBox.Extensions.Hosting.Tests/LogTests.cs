using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>What a client does goes to the host's log.</summary>
public sealed class LogTests : SandboxFixture
{
    [Test]
    public async Task EventsHaveTheirLevelsAndFields()
    {
        Sandbox.Script("""[{"status": 503}, {"own": true}, {"status": 404}]""");
        await using Service service = await new Service(Sandbox).Start();
        service.Client.UpdateUserJson(1, "{}");
        Assert.Throws<CommBoxApiException>(() => service.Client.UpdateUserJson(1, "{}"));
        Assert.That(service.Log.Events, Is.EqualTo(new[] { "retry", "call_failed" }));
        Log.Entry[] entries = [.. service.Log.Entries.Where(entry => entry.Category == "CommBox")];
        Assert.That(
            entries.Select(entry => entry.Level),
            Is.EqualTo(new[] { LogLevel.Information, LogLevel.Warning }));
        Assert.That(entries[0].Message, Does.StartWith("call 1: retries in "));
        Assert.That(entries[0].Fields["Event"], Is.EqualTo("retry"));
        Assert.That(entries[0].Fields["Call"], Is.EqualTo(1L));
        Assert.That(entries[0].Fields["WaitMs"], Is.InstanceOf<long>());
        Assert.That(entries[1].Fields["HttpStatus"], Is.EqualTo(404L));
        Assert.That(entries[1].Fields["Delivery"], Is.EqualTo("answered"));
        Assert.That(entries[1].Fields["RetryAfterMs"], Is.Null);
    }

    [Test]
    public async Task NeitherKeyNorUserValuesAreLogged()
    {
        await using var service = new Service(
            Sandbox, ("CommBox:ApiKey", "canary-key"), ("CommBox:Headers:X-Key", "canary-header"));
        service.Builder.Logging.AddFilter("CommBox", LogLevel.Trace);
        await service.Start();
        var user =
            new UserInfo { FirstName = "canary-name", Content = { ["Field"] = "canary-field" } };
        Assert.Throws<CommBoxApiException>(() => service.Client.UpdateUser(94382332, user));
        Assert.That(service.Log.Events, Does.Contain("key_rejected").And.Contain("attempt"));
        IEnumerable<string> told = service.Log.Entries.Select(
            entry => entry.Message + string.Join(
                ",", entry.Fields.Select(field => $"{field.Key}={field.Value}")));
        Assert.That(told, Has.None.Contain("canary").And.None.Contain("94382332"));
    }

    [Test]
    public async Task FiltersMayChangeWhileTheProgramRuns()
    {
        await using var service = new Service(Sandbox, ("Logging:LogLevel:CommBox", "Warning"));
        service.Builder.Logging.ClearProviders().AddConfiguration(
            service.Builder.Configuration.GetSection("Logging"));
        service.Builder.Logging.AddProvider(service.Log);
        service.Builder.Services.Configure<LoggerFilterOptions>(
            options => options.Rules.RemoveAt(0));
        await service.Start();
        service.Client.UpdateUserJson(1, "{}");
        Assert.That(service.Log.Events, Is.Empty);
        service.Change(("Logging:LogLevel:CommBox", "Debug"));
        service.Client.UpdateUserJson(1, "{}");
        Assert.That(service.Log.Events, Does.Contain("call_succeeded"));
        service.Change(("Logging:LogLevel:CommBox", "None"));
        service.Log.Clear();
        service.Client.UpdateUserJson(1, "{}");
        Assert.That(service.Log.Events, Is.Empty);
    }

    [Test]
    public async Task NameOfAClientIsLoggedAsAField()
    {
        Sandbox.Script("""[{"status": 404}]""");
        await using var service = new Service();
        service.Builder.Services.AddCommBox(
            "other", options => (options.ApiKey, options.BaseUrl) = (Sandbox.ApiKey, Sandbox.Url));
        await service.Start();
        var other = service.Running.Services.GetRequiredKeyedService<ICommBoxClient>("other");
        Assert.Throws<CommBoxApiException>(() => other.UpdateUserJson(1, "{}"));
        Assert.That(
            service.Log.Entries.Single(entry => entry.Category == "CommBox").Fields["Client"],
            Is.EqualTo("other"));
    }
}
