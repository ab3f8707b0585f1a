using System.Text.Json;
using CommBox;

namespace Bench;

/// <summary>This library. It trusts what SSL_CERT_FILE names, as the bench sets it.</summary>
internal static class ThisLibrary
{
    internal static Func<JsonDocument> Connect(Work work)
    {
        var options = new CommBoxClientOptions { BaseUrl = work.Url, MaxIdleConnections = work.Threads };
        var client = new CommBoxClient(Work.ApiKey, options);
        // Each thread updates a user of its own, since those of one are sent in turn.
        return () => JsonDocument.Parse(
            client.UpdateUserJson(Work.UserId + Environment.CurrentManagedThreadId, work.Body).Raw);
    }
}
