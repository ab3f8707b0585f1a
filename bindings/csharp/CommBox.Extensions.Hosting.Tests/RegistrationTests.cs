using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>Clients come from the container.</summary>
public sealed class RegistrationTests : SandboxFixture
{
    private Action<CommBoxClientOptions> Configured => options =>
        (options.ApiKey, options.BaseUrl) = (Sandbox.ApiKey, Sandbox.Url);

    [Test]
    public void OneClientIsShared()
    {
        // Without a host, and without a log.
        using ServiceProvider provider = new ServiceCollection().AddCommBox(Configured)
            .BuildServiceProvider();
        var client = provider.GetRequiredService<ICommBoxClient>();
        Assert.That(provider.GetRequiredService<CommBoxClient>(), Is.SameAs(client));
        using IServiceScope scope = provider.CreateScope();
        Assert.That(scope.ServiceProvider.GetRequiredService<ICommBoxClient>(), Is.SameAs(client));
        Assert.That(client.UpdateUser(1, new UserInfo { FirstName = "John" }).Id, Is.EqualTo(1));
    }

    [Test]
    public void NamedClientsAreKeyedServices()
    {
        IServiceCollection services = new ServiceCollection()
            .AddCommBox(Configured)
            .AddCommBox("other", options =>
            {
                Configured(options);
                options.ApiKey = "wrong";
            });
        using ServiceProvider provider = services.BuildServiceProvider();
        var other = provider.GetRequiredKeyedService<ICommBoxClient>("other");
        Assert.That(provider.GetRequiredKeyedService<CommBoxClient>("other"), Is.SameAs(other));
        Assert.That(provider.GetRequiredService<ICommBoxClient>(), Is.Not.SameAs(other));
        Assert.Throws<CommBoxApiException>(() => other.UpdateUserJson(1, "{}"));
        Assert.That(
            provider.GetRequiredService<ICommBoxClient>().UpdateUserJson(1, "{}").Id,
            Is.EqualTo(1));
        // Those who read the collection and know no keys are not disturbed by a client without one.
        Assert.That(
            new ServiceCollection().AddCommBox(Configured).Any(service => service.IsKeyedService),
            Is.False);
    }

    [Test]
    public void CodeMayAddToASection()
    {
        IConfigurationSection section = new ConfigurationBuilder()
            .AddInMemoryCollection(
            [
                new("CommBox:ApiKey", Sandbox.ApiKey),
                new("CommBox:BaseUrl", "https://example.com"),
            ])
            .Build().GetSection("CommBox");
        IServiceCollection services = new ServiceCollection()
            .AddSingleton(Sandbox)
            .AddCommBox(section);
        services.AddOptions<CommBoxClientOptions>().Configure<Sandbox>(
            (options, sandbox) => options.BaseUrl = sandbox.Url);
        using ServiceProvider provider = services.BuildServiceProvider();
        provider.GetRequiredService<ICommBoxClient>().UpdateUserJson(1, "{}");
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(1));
    }

    [Test]
    public async Task ClientIsClosedWithTheContainer()
    {
        ServiceProvider provider = new ServiceCollection().AddCommBox(Configured)
            .BuildServiceProvider();
        var client = provider.GetRequiredService<CommBoxClient>();
        await provider.DisposeAsync();
        Assert.Throws<ObjectDisposedException>(() => client.UpdateUserJson(1, "{}"));
    }

    [Test]
    public void HandlerOfTheOptionsIsKeptInAdditionToTheLog()
    {
        var told = new List<string>();
        IServiceCollection services = new ServiceCollection().AddCommBox(Configured);
        services.Configure<CommBoxClientOptions>(options =>
        {
            options.Log = each => told.Add(each.Name);
            options.LogLevel = CommBoxLogLevel.Debug;
        });
        using ServiceProvider provider = services.BuildServiceProvider();
        provider.GetRequiredService<ICommBoxClient>().UpdateUserJson(1, "{}");
        Assert.That(told, Does.Contain("call_succeeded"));
    }
}
