namespace CommBox.Tests;

/// <summary>Keeps the progress that a batch reports.</summary>
internal sealed class ProgressRecorder : IProgress<CommBoxBatchStatistics>
{
    internal List<CommBoxBatchStatistics> Told { get; } = [];

    internal bool Fails { get; init; }

    public void Report(CommBoxBatchStatistics value) => Told.Add(Fails ? throw new InvalidDataException() : value);
}
