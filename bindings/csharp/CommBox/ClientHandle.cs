using System.Globalization;
using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Owns a <c>commbox_client</c>.</summary>
internal sealed unsafe class ClientHandle : LibraryHandle
{
    /// <summary>Kept alive so that its function pointer stays valid.</summary>
    private static readonly Poll Asked = IsCancelled;

    /// <summary>The token of the call that runs on this thread.</summary>
    [ThreadStatic]
    private static CancellationToken t_cancellationToken;

    /// <summary>
    /// Lives as long as the calls that were started, because they hold this handle.
    /// </summary>
    private readonly LogSink? _log;

    /// <summary>The server of the base URL.</summary>
    internal ServerName Server { get; private init; }

    /// <summary>The update queues of this client, for the meters.</summary>
    internal WeakList<UpdateQueue> Queues { get; } = new();

    /// <summary>
    /// The number of 429s that <see cref="Telemetry.CountThrottled"/> has counted so far.
    /// </summary>
    internal long ThrottledBefore { get; set; }

    /// <summary>An invalid handle. The library rejects it with an error.</summary>
    internal ClientHandle()
    {
    }

    /// <summary>Creates a client. Messages call the key <paramref name="keyName"/>.</summary>
    internal ClientHandle(
        string apiKey,
        string? optionsJson,
        LogSink? log = null,
        CommBoxLogLevel level = default,
        string keyName = "api_key")
    {
        _log = log;
        fixed (byte* key = Utf8.Terminate(apiKey, keyName))
        fixed (byte* options = Utf8.TerminateOrNull(optionsJson, "options"))
        {
            SetHandle(Native.ClientNew(key, options));
        }
        if (IsInvalid)
        {
            throw LastOfKey(keyName);
        }
        try
        {
            Check(Native.ClientSetInterrupt(handle, Callback, context: null));
            SetLogLevel(level);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>
    /// Creates a client if all options are valid, including those of asynchronous calls.
    /// </summary>
    /// <exception cref="CommBoxValidationException">
    /// The key or an option is invalid. The message contains all invalid options.
    /// </exception>
    internal static ClientHandle Make(
        string apiKey, string keyName, CommBoxClientOptions options, string? baseUrl)
    {
        List<string> problems = [];
        LogSink? log = null;
        if (options.LogLevel is < CommBoxLogLevel.Off or > CommBoxLogLevel.Trace)
        {
            problems.Add($"{nameof(options.LogLevel)} must be from Off to Trace");
        }
        else if (options.Log is not null)
        {
            log = new LogSink(options.Log);
        }
        CheckOption("concurrency", nameof(options.MaxConcurrency), options.MaxConcurrency, problems);
        CheckOption(
            "overall_timeout_ms", nameof(options.OverallTimeout), OptionTable.Milliseconds(options.OverallTimeout), problems);
        ClientHandle? client = null;
        try
        {
            client = new ClientHandle(
                apiKey, options.ToJson(baseUrl), log, options.LogLevel, keyName)
            {
                Server = ServerName.Of(options.BaseUrl ?? baseUrl),
            };
        }
        catch (CommBoxValidationException error) when (error.Code == Native.InvalidOptions && problems.Count > 0)
        {
            problems.Insert(0, error.Message);
        }
        if (problems.Count > 0)
        {
            client?.Dispose();
            throw new CommBoxValidationException(Native.InvalidOptions, string.Join("; ", problems));
        }
        Telemetry.Add(client!);
        return client!;
    }

    /// <summary>
    /// Adds the problem of an option that the library validates only when it creates a batch.
    /// </summary>
    private static void CheckOption(string option, string property, long? value, List<string> problems)
    {
        if (value is null)
        {
            return;
        }
        nint options = Native.OptionsNew();
        fixed (byte* key = Utf8.Terminate(option, option))
        fixed (byte* text = Utf8.Terminate(value.Value.ToString(CultureInfo.InvariantCulture), option))
        {
            if (Native.OptionsSet(options, key, text) != Native.Ok)
            {
                problems.Add(CommBoxException.LastOfOptions(_ => property).Message);
            }
        }
        Native.OptionsFree(options);
    }

    private static delegate* unmanaged[Cdecl]<void*, int> Callback =>
        (delegate* unmanaged[Cdecl]<void*, int>)Marshal.GetFunctionPointerForDelegate(Asked);

    internal void SetApiKey(string apiKey)
    {
        using Lease lease = Hold();
        fixed (byte* key = Utf8.Terminate(apiKey, nameof(apiKey)))
        {
            if (Native.ClientSetApiKey(handle, key) != Native.Ok)
            {
                throw LastOfKey(nameof(apiKey));
            }
        }
    }

    /// <summary>
    /// Returns this thread's last error, from a call that takes options and a key. Messages call
    /// the key <paramref name="keyName"/>.
    /// </summary>
    private static CommBoxException LastOfKey(string keyName)
    {
        CommBoxException error = CommBoxException.LastOfOptions(CommBoxClientOptions.PropertyFor);
        return error.Code != Native.InvalidArgument
            ? error
            : new CommBoxValidationException(
                error.Code, error.Message.Replace("api_key", keyName));
    }

    internal void SetMaxRequestsPerSecond(double rate)
    {
        using Lease lease = Hold();
        if (Native.ClientSetMaxRequestsPerSecond(handle, rate) != Native.Ok)
        {
            // The library's parameter has the same name as the option.
            CommBoxException error = CommBoxException.LastOfOptions(CommBoxClientOptions.PropertyFor);
            throw new CommBoxValidationException(
                error.Code, error.Message.Replace("max_requests_per_second", nameof(rate)));
        }
    }

    internal void SetLogLevel(CommBoxLogLevel level)
    {
        using Lease lease = Hold();
        if (_log is not null)
        {
            Check(Native.ClientSetLog(handle, (int)level, LogSink.Callback, _log.Context));
        }
    }

    internal void Cancel()
    {
        using Lease lease = Hold();
        Check(Native.ClientCancel(handle));
    }

    /// <summary>
    /// Sends an update. <paramref name="callJson"/> contains the options of this call.
    /// </summary>
    internal UpdateResult UpdateUser(
        long userId, NativeText userJson, string? callJson, CancellationToken cancellationToken)
    {
        using Lease lease = Hold();
        byte* response = null;
        // A callback of the library may make another call on this thread.
        CancellationToken outer = t_cancellationToken;
        t_cancellationToken = cancellationToken;
        try
        {
            fixed (byte* user = userJson.Buffer)
            fixed (byte* options = Utf8.TerminateOrNull(callJson, "options"))
            {
                Check(Native.UpdateUserJsonWith(handle, userId, user, options, &response), cancellationToken);
            }
            // Read at once: the thread's next call replaces these values.
            var effort = Effort.Last();
            return UpdateResult.From(Utf8.Copy(response), effort);
        }
        finally
        {
            GC.KeepAlive(_log);
            t_cancellationToken = outer;
            Native.StringFree(response);
        }
    }

    internal void ValidateUserJson(long userId, string userJson)
    {
        using Lease lease = Hold();
        fixed (byte* user = Utf8.Terminate(userJson, nameof(userJson)))
        {
            Check(Native.ClientValidateUserJson(handle, userId, user));
        }
    }

    internal CommBoxStatistics Statistics()
    {
        using Lease lease = Hold();
        return CommBoxStatistics.Parse(Taken(Native.ClientStatsJson(handle)));
    }

    /// <summary>Returns the statistics, or null if the client is closed.</summary>
    internal CommBoxStatistics? ReadStatistics()
    {
        try
        {
            return Statistics();
        }
        catch (ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>Returns the number of pending updates in the queues and in the library.</summary>
    internal long CountQueued() =>
        Queues.Alive().Sum(queue => queue.CountQueued()) + (ReadStatistics()?.Waiting ?? 0);

    internal string DiagnoseJson(CancellationToken cancellationToken)
    {
        using Lease lease = Hold();
        CancellationToken outer = t_cancellationToken;
        t_cancellationToken = cancellationToken;
        try
        {
            return Taken(Native.ClientDiagnoseJson(handle), cancellationToken);
        }
        finally
        {
            t_cancellationToken = outer;
        }
    }

    /// <summary>
    /// Returns a string of the library and frees it. Throws the last error if it is NULL.
    /// </summary>
    private static string Taken(byte* text, CancellationToken cancellationToken = default)
    {
        if (text is null)
        {
            throw CommBoxException.Last(cancellationToken);
        }
        string taken = Utf8.Decode(text);
        Native.StringFree(text);
        return taken;
    }

    protected override bool ReleaseHandle()
    {
        if (Telemetry.CountsThrottled && Native.ClientStatsJson(handle) is var json && json is not null)
        {
            Telemetry.CountThrottled(this, CommBoxStatistics.Parse(Taken(json)).Throttled);
        }
        Native.ClientFree(handle);
        return true;
    }

    /// <summary>
    /// Invoked by the library while a call blocks, on the call's thread. The token is
    /// thread-static, so each call has its own and none needs a context that must be freed. Reading
    /// a token's state does not throw, even if its source is disposed.
    /// </summary>
    private static int IsCancelled(void* context) => t_cancellationToken.IsCancellationRequested ? 1 : 0;

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate int Poll(void* context);
}
