using Microsoft.Extensions.Logging;

namespace CommBox.Extensions.Hosting;

/// <summary>The messages of this package itself.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(
        1, LogLevel.Error, "The changed settings are not used, those before stay: {Problems}")]
    internal static partial void SettingsRefused(this ILogger logger, string problems);

    [LoggerMessage(2, LogLevel.Information, "{Client} uses another API key from now on")]
    internal static partial void KeyReplaced(this ILogger logger, string client);

    [LoggerMessage(
        3,
        LogLevel.Information,
        "{Client} sends at most {Rate} requests a second from now on; 0 is no limit")]
    internal static partial void RateChanged(this ILogger logger, string client, double rate);

    [LoggerMessage(
        4,
        LogLevel.Warning,
        "{Client} uses these changed settings when the program is started again: {Settings}")]
    internal static partial void NeedsRestart(this ILogger logger, string client, string settings);

    [LoggerMessage(
        5, LogLevel.Information, "{Client} finishes {Count} updates before the host stops")]
    internal static partial void Draining(this ILogger logger, string client, int count);

    [LoggerMessage(
        6,
        LogLevel.Warning,
        "{Client} had no time to finish all updates before the host stops; {Count} were cancelled")]
    internal static partial void Cancelled(this ILogger logger, string client, int count);
}
