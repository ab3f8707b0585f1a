using System.Collections;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace CommBox.Extensions.Hosting;

/// <summary>Forwards the events of a client to the host's log.</summary>
internal sealed class LogForwarder(ILogger logger, string client)
{
    internal const string Category = "CommBox";

    /// <summary>
    /// The level of events that the library reports. Errors are always included, because the health
    /// check detects a rejected key by them.
    /// </summary>
    internal CommBoxLogLevel Level =>
        logger.IsEnabled(LogLevel.Trace) ? CommBoxLogLevel.Trace
        : logger.IsEnabled(LogLevel.Debug) ? CommBoxLogLevel.Debug
        : logger.IsEnabled(LogLevel.Information) ? CommBoxLogLevel.Information
        : logger.IsEnabled(LogLevel.Warning) ? CommBoxLogLevel.Warning
        : CommBoxLogLevel.Error;

    internal void Forward(CommBoxLogEvent logEvent)
    {
        LogLevel level = logEvent.Level switch
        {
            CommBoxLogLevel.Error => LogLevel.Error,
            CommBoxLogLevel.Warning => LogLevel.Warning,
            CommBoxLogLevel.Information => LogLevel.Information,
            CommBoxLogLevel.Debug => LogLevel.Debug,
            _ => LogLevel.Trace,
        };
        if (logger.IsEnabled(level))
        {
            logger.Log(
                level,
                new EventId(0, logEvent.Name),
                new Entry(logEvent, client),
                exception: null,
                static (entry, _) => $"{entry}");
        }
    }

    /// <summary>
    /// An event with its members as fields, such as <c>WaitMs</c> for <c>wait_ms</c>. It has no
    /// template, because the library writes its sentence.
    /// </summary>
    private sealed class Entry : IReadOnlyList<KeyValuePair<string, object?>>
    {
        private readonly List<KeyValuePair<string, object?>> _fields = [];
        private readonly string _message;

        internal Entry(CommBoxLogEvent logEvent, string client)
        {
            _message = logEvent.Message;
            if (client.Length > 0)
            {
                _fields.Add(new("Client", client));
            }
            using JsonDocument json = JsonDocument.Parse(logEvent.Json);
            foreach (JsonProperty member in json.RootElement.EnumerateObject())
            {
                if (member.Name != "level")
                {
                    _fields.Add(new(Pascal(member.Name), Value(member.Value)));
                }
            }
        }

        public int Count => _fields.Count;

        public KeyValuePair<string, object?> this[int index] => _fields[index];

        public IEnumerator<KeyValuePair<string, object?>> GetEnumerator() =>
            _fields.GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

        public override string ToString() => _message;

        private static string Pascal(string name) =>
            string.Concat(
                name.Split('_').Select(
                    part => part.Length == 0 ? "" : char.ToUpperInvariant(part[0]) + part[1..]));

        private static object? Value(JsonElement value) => value.ValueKind switch
        {
            JsonValueKind.Null => null,
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            JsonValueKind.String => value.GetString(),
            JsonValueKind.Number when value.TryGetInt64(out long whole) => whole,
            JsonValueKind.Number => value.GetDouble(),
            _ => value.GetRawText(),
        };
    }
}
