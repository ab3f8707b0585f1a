using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>The health check reports what calls have shown, and sends nothing.</summary>
public sealed class HealthTests : SandboxFixture
{
    private async Task<Service> Start(params (string Key, string? Value)[] settings)
    {
        var service = new Service(Sandbox, settings);
        service.Builder.Services.AddHealthChecks().AddCommBox();
        return await service.Start();
    }

    private static async Task<HealthReportEntry> Health(Service service, string name = "CommBox")
    {
        var checks = service.Running.Services.GetRequiredService<HealthCheckService>();
        return (await checks.CheckHealthAsync()).Entries[name];
    }

    private static Task<UpdateResult> Call(Service service) =>
        service.Client.UpdateUserJsonAsync(1, "{}");

    [Test]
    public async Task HealthyAndSendsNothingBeforeTheFirstCall()
    {
        await using Service service = await Start();
        HealthReportEntry health = await Health(service);
        Assert.That(health.Status, Is.EqualTo(HealthStatus.Healthy));
        Assert.That(health.Description, Is.EqualTo("no call was made yet"));
        Assert.That(Sandbox.Requests(), Is.Empty);
        await Call(service);
        health = await Health(service);
        Assert.That(health.Status, Is.EqualTo(HealthStatus.Healthy));
        Assert.That(health.Data["succeeded"], Is.EqualTo(1));
    }

    [Test]
    public async Task RejectedKeyIsUnhealthyUntilAnotherIsSetOrItIsAccepted()
    {
        await using Service service = await Start(("CommBox:ApiKey", "wrong"));
        Assert.ThrowsAsync<CommBoxApiException>(() => Call(service));
        for (int look = 0; look < 2; look++)
        {
            HealthReportEntry health = await Health(service);
            Assert.That(health.Status, Is.EqualTo(HealthStatus.Unhealthy));
            Assert.That(health.Description, Does.Contain("401"));
        }
        service.Change(("CommBox:ApiKey", Sandbox.ApiKey));
        Assert.That((await Health(service)).Status, Is.EqualTo(HealthStatus.Healthy));
        await Call(service);
        Assert.That((await Health(service)).Status, Is.EqualTo(HealthStatus.Healthy));

        // The same key, which the server rejects once.
        Sandbox.Script("""[{"status": 401}]""");
        Assert.ThrowsAsync<CommBoxApiException>(() => Call(service));
        Assert.That((await Health(service)).Status, Is.EqualTo(HealthStatus.Unhealthy));
        await Call(service);
        Assert.That((await Health(service)).Status, Is.EqualTo(HealthStatus.Healthy));
    }

    [Test]
    public async Task OutageIsUnhealthyAndEnds()
    {
        Sandbox.Script(20, """{"status": 503}""");
        await using Service service = await Start(("CommBox:MaxRetries", "0"));
        while (service.Client.GetStatistics().State == "open")
        {
            // An asynchronous call would wait for the end of the outage.
            Assert.Throws<CommBoxApiException>(() => service.Client.UpdateUserJson(1, "{}"));
        }
        HealthReportEntry health = await Health(service);
        Assert.That(health.Status, Is.EqualTo(HealthStatus.Unhealthy));
        Assert.That(health.Data["state"], Is.EqualTo("outage"));
        Sandbox.Reset();
        await Call(service);
        Assert.That((await Health(service)).Status, Is.EqualTo(HealthStatus.Healthy));
    }

    [Test]
    public async Task ThrottlingIsDegraded()
    {
        Sandbox.Script("""[{"status": 429, "headers": {"Retry-After": "30"}}]""");
        await using Service service = await Start();
        Assert.Throws<CommBoxRateLimitException>(
            () => service.Client.UpdateUserJson(
                1, "{}", new CommBoxCallOptions { Timeout = TimeSpan.FromSeconds(2) }));
        HealthReportEntry health = await Health(service);
        Assert.That(health.Status, Is.EqualTo(HealthStatus.Degraded));
        Assert.That(health.Description, Does.Contain("throttles"));
    }

    [Test]
    public async Task ServerFailuresAreDegradedAndUpdateFailuresAreNot()
    {
        Sandbox.Script("""[{"status": 500}, {"status": 404}]""");
        await using Service service = await Start(("CommBox:MaxRetries", "0"));
        Assert.ThrowsAsync<CommBoxApiException>(() => Call(service));
        for (int look = 0; look < 2; look++)
        {
            HealthReportEntry health = await Health(service);
            Assert.That(health.Status, Is.EqualTo(HealthStatus.Degraded));
            Assert.That(
                health.Description,
                Is.EqualTo("all calls since the previous check failed: 1 with code 500"));
        }
        await Call(service).ContinueWith(_ => { }, TaskScheduler.Default);
        await Call(service);
        Assert.That((await Health(service)).Status, Is.EqualTo(HealthStatus.Healthy));
        Sandbox.Script("""[{"status": 404}]""");
        Assert.ThrowsAsync<CommBoxApiException>(() => Call(service));
        Assert.ThrowsAsync<CommBoxValidationException>(
            () => service.Client.UpdateUserJsonAsync(0, "{}"));
        Assert.That((await Health(service)).Status, Is.EqualTo(HealthStatus.Healthy));
    }

    [Test]
    public async Task EachNamedClientHasItsOwnHealth()
    {
        await using var service = new Service(Sandbox);
        service.Builder.Services.AddCommBox(
            "other", options => (options.ApiKey, options.BaseUrl) = ("wrong", Sandbox.Url));
        service.Builder.Services.AddHealthChecks()
            .AddCommBox()
            .AddCommBox("other", HealthStatus.Degraded, ["ready"]);
        await service.Start();
        var other = service.Running.Services.GetRequiredKeyedService<ICommBoxClient>("other");
        Assert.Throws<CommBoxApiException>(() => other.UpdateUserJson(1, "{}"));
        Assert.That((await Health(service)).Status, Is.EqualTo(HealthStatus.Healthy));
        HealthReportEntry health = await Health(service, "CommBox:other");
        Assert.That(health.Status, Is.EqualTo(HealthStatus.Degraded));
        Assert.That(health.Tags, Is.EqualTo(new[] { "ready" }));
    }

    [Test]
    public async Task ClientThatIsNotRegisteredIsReported()
    {
        await using var service = new Service(Sandbox);
        service.Builder.Services.AddHealthChecks().AddCommBox("billing");
        await service.Start();
        HealthReportEntry health = await Health(service, "CommBox:billing");
        Assert.That(health.Status, Is.EqualTo(HealthStatus.Unhealthy));
        Assert.That(
            health.Exception!.Message, Does.Contain("services.AddCommBox(\"billing\", section)"));
    }
}
