using System.Runtime.InteropServices;

namespace Bench;

/// <summary>What the system knows of this process.</summary>
internal static unsafe class Process
{
    private const int Self = 0;

    /// <summary>User and system time in seconds. .NET's own figure has a precision of 10 ms.</summary>
    internal static double ProcessorTime()
    {
        // struct rusage: two times of two longs each, and 14 longs more.
        long* usage = stackalloc long[18];
        if (GetResourceUsage(Self, usage) != 0)
        {
            throw new InvalidOperationException("getrusage() failed");
        }
        return usage[0] + usage[2] + (usage[1] + usage[3]) / 1e6;
    }

    /// <summary>A line of /proc/self/status in KiB: VmHWM is the peak, VmRSS the present.</summary>
    internal static long Memory(string name)
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith(name, StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
    }

    [DllImport("libc", EntryPoint = "getrusage")]
    private static extern int GetResourceUsage(int who, long* usage);
}
