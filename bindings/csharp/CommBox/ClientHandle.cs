using System.Globalization;
using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Owns a <c>commbox_client</c>.</summary>
internal sealed unsafe class ClientHandle : LibraryHandle
{
    /// <summary>It stays, so that its address does.</summary>
    private static readonly Poll Asked = IsCancelled;

    /// <summary>Of the call that runs on this thread.</summary>
    [ThreadStatic]
    private static CancellationToken t_cancellationToken;

    /// <summary>It lives as long as calls that were begun: they hold this handle.</summary>
    private readonly LogSink? _log;

    /// <summary>Where it sends.</summary>
    internal ServerName Server { get; private init; }

    /// <summary>The queues of its updates, for the meters.</summary>
    internal WeakList<UpdateQueue> Queues { get; } = new();

    /// <summary>What <see cref="Telemetry.CountThrottled"/> has counted of it.</summary>
    internal long ThrottledBefore { get; set; }

    /// <summary>No client; the library refuses it with a reason.</summary>
    internal ClientHandle()
    {
    }

    /// <summary>Makes a client; <paramref name="keyName"/> is what messages call the key.</summary>
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
    /// Makes a client, if all options are right, those of asynchronous calls too.
    /// </summary>
    /// <exception cref="CommBoxValidationException">
    /// The key or an option is wrong; all options are named.
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
    /// Adds what is wrong with an option that the library reads only when it makes a batch.
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
    /// This thread's last error, from a call that takes options and a key, which has another name
    /// here.
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
            // The library calls its parameter as it calls the option.
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

    /// <summary>Makes an update. <paramref name="callJson"/> holds its own options.</summary>
    internal UpdateResult UpdateUser(
        long userId, NativeText userJson, string? callJson, CancellationToken cancellationToken)
    {
        using Lease lease = Hold();
        byte* response = null;
        // A callback of the library may make a call of its own on this thread.
        CancellationToken outer = t_cancellationToken;
        t_cancellationToken = cancellationToken;
        try
        {
            fixed (byte* user = userJson.Buffer)
            fixed (byte* options = Utf8.TerminateOrNull(callJson, "options"))
            {
                Check(Native.UpdateUserJsonWith(handle, userId, user, options, &response), cancellationToken);
            }
            // What the update took is this thread's last, until its next call.
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

    /// <summary>The same; null once the client is closed.</summary>
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

    /// <summary>How many updates wait, in the queues and in the library.</summary>
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

    /// <summary>Text that the library handed out; NULL is an error.</summary>
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
    /// Asked by the library while a call waits, on the call's thread, so that each call has a token
    /// of its own and none needs a context that would have to be freed. A token's state is a field
    /// of its source: reading it throws nothing, also where the source is disposed.
    /// </summary>
    private static int IsCancelled(void* context) => t_cancellationToken.IsCancellationRequested ? 1 : 0;

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate int Poll(void* context);
}
