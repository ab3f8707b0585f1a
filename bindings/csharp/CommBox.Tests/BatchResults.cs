namespace CommBox.Tests;

/// <summary>What the tests of many updates collect.</summary>
internal static class BatchResults
{
    internal static IEnumerable<long> Users(IEnumerable<CommBoxBatchResult> results, bool succeeded) =>
        results.Where(result => result.IsSuccess == succeeded).Select(result => result.Update.UserId);

    /// <summary>All results, by user; each user once.</summary>
    internal static async Task<Dictionary<long, CommBoxBatchResult>> Take(IAsyncEnumerable<CommBoxBatchResult> results)
    {
        var taken = new Dictionary<long, CommBoxBatchResult>();
        await foreach (CommBoxBatchResult result in results)
        {
            taken.Add(result.Update.UserId, result);
        }
        return taken;
    }
}
