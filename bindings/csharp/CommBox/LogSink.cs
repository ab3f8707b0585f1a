using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>
/// Passes the events of a client to a program's handler. The library refers to the sink by a
/// number, so events that arrive after the client and its calls are gone are ignored, and a handler
/// that refers to its client does not keep it alive.
/// </summary>
internal sealed unsafe class LogSink
{
    private static readonly ConcurrentDictionary<nint, WeakReference<LogSink>> Sinks = new();

    /// <summary>Kept alive so that its function pointer stays valid.</summary>
    private static readonly Log Told = Pass;

    private static long s_last;

    private readonly nint _number = (nint)Interlocked.Increment(ref s_last);
    private readonly Action<CommBoxLogEvent> _handler;

    internal LogSink(Action<CommBoxLogEvent> handler)
    {
        _handler = handler;
        Sinks[_number] = new WeakReference<LogSink>(this);
    }

    ~LogSink() => Sinks.TryRemove(_number, out _);

    /// <summary>The number of sinks.</summary>
    internal static int Count => Sinks.Count;

    /// <summary>The context that the library passes to <see cref="Callback"/>.</summary>
    internal void* Context => (void*)_number;

    internal static delegate* unmanaged[Cdecl]<void*, int, byte*, byte*, void> Callback =>
        (delegate* unmanaged[Cdecl]<void*, int, byte*, byte*, void>)Marshal.GetFunctionPointerForDelegate(Told);

    private static void Pass(void* context, int level, byte* eventJson, byte* sentence)
    {
        if (!Sinks.TryGetValue((nint)context, out WeakReference<LogSink>? reference)
            || !reference.TryGetTarget(out LogSink? sink))
        {
            return;
        }
        try
        {
            sink._handler(new CommBoxLogEvent
            {
                Level = (CommBoxLogLevel)level,
                Message = Utf8.Decode(sentence),
                Json = Utf8.Decode(eventJson),
            });
        }
        catch (Exception error)
        {
            // An exception must neither unwind through the library nor make a call fail.
            Trace.TraceWarning($"the log handler of a CommBox client threw {error.GetType()}");
        }
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate void Log(void* context, int level, byte* eventJson, byte* sentence);
}
