// A service: updates come into a channel, and are sent until the host is stopped. Those that it has
// by then are finished within the host's shutdown timeout, and each that fails is reported. Lines
// of the standard input, USER_ID<TAB>JSON, stand for a queue. The key is in CommBox__ApiKey.
using System.Threading.Channels;
using CommBox;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

HostApplicationBuilder builder = Host.CreateApplicationBuilder(args);
builder.Logging.AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
builder.Services.AddCommBox(builder.Configuration.GetSection("CommBox"));
builder.Services.AddHealthChecks().AddCommBox();
builder.Services.AddSingleton(Channel.CreateBounded<UserUpdate>(1000));
builder.Services.AddSingleton<Updater>();
builder.Services.AddHostedService(services => services.GetRequiredService<Updater>());
builder.Services.AddHostedService<Intake>(); // Services stop in the reverse order: this one first.

using IHost host = builder.Build();
var updater = host.Services.GetRequiredService<Updater>();
await host.RunAsync();
await updater.ExecuteTask!;
Console.WriteLine($"{updater.Updated} updated, {updater.Failed} failed");
return updater.Failed == 0 ? 0 : 1;

internal sealed class Updater(
    ICommBoxClient commbox, Channel<UserUpdate> channel,
    IHostApplicationLifetime host, ILogger<Updater> logger) : BackgroundService
{
    private const int MostPending = 500;
    private readonly SemaphoreSlim _room = new(MostPending);
    internal int Updated, Failed;

    // The channel ends it, not the token: what is in there is sent. When the host's time is over,
    // the client is closed, and each update that is left fails.
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await foreach (UserUpdate update in channel.Reader.ReadAllAsync(CancellationToken.None))
        {
            await _room.WaitAsync(CancellationToken.None);
            _ = UpdateAsync(update);
        }
        for (int slot = 0; slot < MostPending; slot++)
        {
            await _room.WaitAsync(CancellationToken.None);
        }
        host.StopApplication();
    }

    private async Task UpdateAsync(UserUpdate update)
    {
        try
        {
            await commbox.UpdateUserJsonAsync(update.UserId, update.Json!);
            Interlocked.Increment(ref Updated);
        }
        catch (Exception error)
        {
            Interlocked.Increment(ref Failed);
            logger.LogError("row {Row}: {Problem}", update.Tag, error.Message);
        }
        _room.Release();
    }
}

internal sealed class Intake(Channel<UserUpdate> channel) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var input = new StreamReader(Console.OpenStandardInput());
        try
        {
            int row = 0;
            while (await input.ReadLineAsync().WaitAsync(stoppingToken) is { } line)
            {
                string[] parts = line.Split('\t', 2);
                _ = long.TryParse(parts[0], out long userId);
                await channel.Writer.WriteAsync(
                    new UserUpdate(userId, parts[^1]) { Tag = ++row }, stoppingToken);
            }
        }
        finally
        {
            channel.Writer.Complete();
        }
    }
}
