namespace Bench;

/// <summary>What a contestant is told.</summary>
internal sealed record Work(string Url, string CaFile, int Threads, int Warmup, int Calls, string Body)
{
    internal const string ApiKey = "my-api-key";
    internal const long UserId = 94382332;
}
