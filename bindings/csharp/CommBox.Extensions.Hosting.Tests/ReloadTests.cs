using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>Settings change while the program runs.</summary>
public sealed class ReloadTests : SandboxFixture
{
    private string LastKey() =>
        Sandbox.Requests()[^1].GetProperty("headers").GetProperty("authorization")
            .GetString() ?? "";

    [Test]
    public async Task ChangedKeyIsApplied()
    {
        await using Service service = await new Service(Sandbox, ("CommBox:ApiKey", "canary-old"))
            .Start();
        Assert.Throws<CommBoxApiException>(() => service.Client.UpdateUserJson(1, "{}"));
        service.Change(("CommBox:ApiKey", Sandbox.ApiKey));
        Assert.That(service.Client.UpdateUserJson(1, "{}").Id, Is.EqualTo(1));
        Assert.That(LastKey(), Is.EqualTo($"Bearer {Sandbox.ApiKey}"));
        string[] messages = [.. service.Log.Entries.Select(entry => entry.Message)];
        Assert.That(messages, Does.Contain("the CommBox client uses another API key from now on"));
        Assert.That(messages, Has.None.Contain("canary").And.None.Contain(Sandbox.ApiKey));
        service.Log.Clear();
        service.Change();
        Assert.That(service.Log.Entries, Is.Empty);
    }

    [Test]
    public async Task EditedFileIsApplied()
    {
        string file = Path.Combine(Path.GetTempPath(), $"commbox-{Guid.NewGuid()}.json");
        try
        {
            Write("first-key");
            await using var service = new Service(Sandbox);
            service.Builder.Configuration.AddJsonFile(file, optional: false, reloadOnChange: true);
            await service.Start();
            Assert.Throws<CommBoxApiException>(() => service.Client.UpdateUserJson(1, "{}"));
            Write(Sandbox.ApiKey);
            Assert.That(() => service.Log.Events, Does.Contain("KeyReplaced").After(60_000, 50));
            Assert.That(service.Client.UpdateUserJson(1, "{}").Id, Is.EqualTo(1));
        }
        finally
        {
            File.Delete(file);
        }

        void Write(string key) =>
            File.WriteAllText(file, $$$"""{"CommBox": {"ApiKey": "{{{key}}}"}}""");
    }

    [Test]
    public async Task ChangedRateIsApplied()
    {
        await using Service service =
            await new Service(Sandbox, ("CommBox:MaxRequestsPerSecond", "100")).Start();
        Assert.That(service.Client.GetStatistics().RequestsPerSecond, Is.EqualTo(100));
        service.Change(("CommBox:MaxRequestsPerSecond", "50"));
        Assert.That(service.Client.GetStatistics().RequestsPerSecond, Is.EqualTo(50));
        service.Change(("CommBox:MaxRequestsPerSecond", null));
        Assert.That(service.Client.GetStatistics().RequestsPerSecond, Is.Null);
        Assert.That(service.Log.Events.Count(name => name == "RateChanged"), Is.EqualTo(2));
    }

    [Test]
    public async Task InvalidSettingsAreLoggedAndThePreviousOnesKept()
    {
        await using Service service = await new Service(Sandbox).Start();
        service.Change(("CommBox:ApiKey", "canary\nkey"), ("CommBox:MaxRetrys", "canary"));
        Log.Entry refused = service.Log.Entries.Single(
            entry => entry.Event.Name == "SettingsRefused");
        Assert.That(refused.Level, Is.EqualTo(LogLevel.Error));
        Assert.That(
            refused.Message,
            Does.Contain("did you mean \"MaxRetries\"?").And.Not.Contain("canary"));
        Assert.That(service.Client.UpdateUserJson(1, "{}").Id, Is.EqualTo(1));

        service.Change(("CommBox:ApiKey", "next-key"), ("CommBox:MaxRetrys", null));
        Assert.Throws<CommBoxApiException>(() => service.Client.UpdateUserJson(1, "{}"));
        Assert.That(LastKey(), Is.EqualTo("Bearer next-key"));
    }

    [Test]
    public async Task SettingsThatCannotChangeAtRuntimeAreReported()
    {
        await using Service service = await new Service(Sandbox).Start();
        service.Change(("CommBox:Timeout", "00:00:07"), ("CommBox:Headers:X-Key", "canary"));
        Log.Entry warning = service.Log.Entries.Single(entry => entry.Event.Name == "NeedsRestart");
        Assert.That(warning.Fields["Settings"], Is.EqualTo("Timeout, Headers"));
        Assert.That(warning.Level, Is.EqualTo(LogLevel.Warning));
        Assert.That(warning.Message, Does.Not.Contain("canary"));
    }

    [Test]
    public async Task EachNamedClientHasItsOwnSettings()
    {
        await using var service = new Service(
            Sandbox, ("Other:BaseUrl", Sandbox.Url), ("Other:ApiKey", "other-key"));
        service.Builder.Services.AddCommBox(
            "other", service.Builder.Configuration.GetSection("Other"));
        await service.Start();
        service.Change(("Other:ApiKey", "rotated-key"));
        Assert.That(service.Client.UpdateUserJson(1, "{}").Id, Is.EqualTo(1));
        var other = service.Running.Services.GetRequiredKeyedService<ICommBoxClient>("other");
        Assert.Throws<CommBoxApiException>(() => other.UpdateUserJson(1, "{}"));
        Assert.That(LastKey(), Is.EqualTo("Bearer rotated-key"));
        Assert.That(service.Log.Events.Count(name => name == "KeyReplaced"), Is.EqualTo(1));
    }
}
