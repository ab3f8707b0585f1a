using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Bench;

/// <summary>The threads, the clock, and the reading of the reply.</summary>
internal static class Harness
{
    /// <summary>Opens a client, makes the calls through it from all threads, and prints the figures.</summary>
    internal static int Run(Work work, Func<Work, Func<JsonDocument>> connect)
    {
        long began = Stopwatch.GetTimestamp();
        Func<JsonDocument> update = connect(work);
        double opened = Stopwatch.GetElapsedTime(began).TotalMicroseconds;

        // Passed four times: all are warm, the clock runs, all are done, the figures are taken.
        using var barrier = new Barrier(work.Threads + 1);
        var times = new double[work.Threads][];
        double answeredAt = 0;
        int succeeded = 0;

        void WorkOff(int number)
        {
            for (int call = 0; call < work.Warmup; call++)
            {
                Count(update());
                if (call == 0 && number == 0)
                {
                    answeredAt = (DateTime.UtcNow - DateTime.UnixEpoch).TotalSeconds;
                }
            }
            var took = times[number] = new double[work.Calls];
            barrier.SignalAndWait();
            barrier.SignalAndWait();
            for (int call = 0; call < work.Calls; call++)
            {
                long start = Stopwatch.GetTimestamp();
                JsonDocument reply = update();
                took[call] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
                Count(reply);
            }
            barrier.SignalAndWait();
            barrier.SignalAndWait();
        }

        void Count(JsonDocument reply)
        {
            using (reply)
            {
                JsonElement root = reply.RootElement;
                if (root.GetProperty("status").GetString() != "200"
                    || root.GetProperty("data").GetProperty("Id").GetInt64() != Work.UserId)
                {
                    throw new InvalidOperationException($"not the reply that was expected: {root}");
                }
            }
            Interlocked.Increment(ref succeeded);
        }

        Thread[] threads = [.. Enumerable.Range(0, work.Threads).Select(number => new Thread(() => WorkOff(number)))];
        foreach (Thread thread in threads)
        {
            thread.Start();
        }
        barrier.SignalAndWait();
        double processor = Process.ProcessorTime();
        began = Stopwatch.GetTimestamp();
        barrier.SignalAndWait();
        barrier.SignalAndWait();
        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        processor = Process.ProcessorTime() - processor;
        long peak = Process.Memory("VmHWM:"), resident = Process.Memory("VmRSS:");
        barrier.SignalAndWait();
        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        double[] sorted = [.. times.SelectMany(some => some).Order()];
        double At(int percent) => sorted.Length == 0 ? 0 : sorted[sorted.Length * percent / 100];
        var culture = CultureInfo.InvariantCulture;
        Console.WriteLine(string.Create(culture, $$"""
            {"succeeded": {{succeeded}}, "opened_us": {{opened:F3}}, "answered_at": {{answeredAt:F6}}, "seconds": {{seconds:F6}}, "processor_seconds": {{processor:F6}}, "median_us": {{At(50):F3}}, "p99_us": {{At(99):F3}}, "peak_kb": {{peak}}, "resident_kb": {{resident}}}
            """));
        return 0;
    }
}
