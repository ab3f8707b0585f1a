using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>Nothing is lost where the host stops.</summary>
public sealed class DrainTests : SandboxFixture
{
    [Test]
    public async Task PendingCallsFinish()
    {
        Sandbox.Script(8, """{"own": true, "delay_ms": 300}""");
        await using Service service = await new Service(Sandbox, ("CommBox:MaxConcurrency", "4"))
            .Start();
        Task<UpdateResult>[] calls =
        [
            .. Enumerable.Range(1, 200).Select(
                id => service.Client.UpdateUserJsonAsync(id, "{}")),
        ];
        await service.Running.StopAsync();
        // Each has its outcome; its task may complete a moment later, on another thread.
        await Task.WhenAll(calls).WaitAsync(TimeSpan.FromSeconds(30));
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(200));
        Assert.That(service.Log.Events, Does.Contain("Draining").And.Not.Contain("Cancelled"));
        Assert.Throws<ObjectDisposedException>(() => service.Client.UpdateUserJson(1, "{}"));
    }

    [Test]
    public async Task ShutdownTimeoutIsMetAndEveryCallEnds()
    {
        Sandbox.Script(8, """{"own": true, "delay_ms": 30000}""");
        await using var service = new Service(Sandbox, ("CommBox:MaxConcurrency", "4"));
        service.Builder.Services.Configure<HostOptions>(
            options => options.ShutdownTimeout = TimeSpan.FromSeconds(1));
        await service.Start();
        Task<UpdateResult>[] calls =
            [.. Enumerable.Range(1, 50).Select(id => service.Client.UpdateUserJsonAsync(id, "{}"))];
        AwaitRequests(4);
        var watch = Stopwatch.StartNew();
        await service.Running.StopAsync().ContinueWith(_ => { }, TaskScheduler.Default);
        Assert.That(watch.Elapsed, Is.InRange(TimeSpan.FromSeconds(0.9), TimeSpan.FromSeconds(15)));
        Assert.CatchAsync<OperationCanceledException>(() => Task.WhenAll(calls).WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.That(calls.Count(call => call.IsCanceled), Is.EqualTo(50));
        Log.Entry cancelled = service.Log.Entries.Single(entry => entry.Event.Name == "Cancelled");
        Assert.That(cancelled.Fields["Count"], Is.EqualTo(50));
    }

    [Test]
    public async Task ServiceMakesCallsUntilItHasStopped([Values] bool registeredFirst)
    {
        await using var service = new Service();
        if (registeredFirst)
        {
            service.Builder.Services.AddHostedService<Worker>();
        }
        service.Builder.Services.AddCommBox(
            options => (options.ApiKey, options.BaseUrl) = (Sandbox.ApiKey, Sandbox.Url));
        if (!registeredFirst)
        {
            service.Builder.Services.AddHostedService<Worker>();
        }
        await service.Start();
        await service.Running.StopAsync();
        Assert.That(Sandbox.Requests(), Has.Length.EqualTo(3));
    }

    /// <summary>Makes calls when it is stopped, and does not wait for them.</summary>
    private sealed class Worker(ICommBoxClient client) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public async Task StopAsync(CancellationToken cancellationToken)
        {
            await Task.Delay(200, CancellationToken.None);
            for (int id = 1; id <= 3; id++)
            {
                _ = client.UpdateUserJsonAsync(id, "{}", cancellationToken);
            }
        }
    }
}
