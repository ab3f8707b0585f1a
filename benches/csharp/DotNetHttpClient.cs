using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace Bench;

/// <summary>.NET's own HttpClient, by its synchronous calls. It, too, trusts what SSL_CERT_FILE names.</summary>
internal static class DotNetHttpClient
{
    internal static Func<JsonDocument> Connect(Work work)
    {
        var client = new HttpClient { Timeout = TimeSpan.FromSeconds(60) };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Work.ApiKey);
        var endpoint = new Uri($"{work.Url}/users/{Work.UserId}");
        return () =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, endpoint);
            request.Content = new StringContent(work.Body, Encoding.UTF8, "application/json");
            using HttpResponseMessage response = client.Send(request);
            response.EnsureSuccessStatusCode();
            return JsonDocument.Parse(response.Content.ReadAsStream());
        };
    }
}
