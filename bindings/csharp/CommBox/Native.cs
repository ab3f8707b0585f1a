using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

#if NET
// Every parameter is blittable. A call with a parameter that needs marshalling does not compile.
[assembly: DisableRuntimeMarshalling]
#endif

// Where .NET itself searches for the library: never in the current directory.
[assembly: DefaultDllImportSearchPaths(CommBox.DotNetSearch.Places)]

namespace CommBox;

/// <summary>
/// The functions of <c>commbox.h</c>. Handles are opaque; text is NUL-terminated UTF-8. The first
/// call loads the library.
/// </summary>
internal static unsafe class Native
{
    internal const int Ok = 0;
    internal const int InvalidArgument = -1;
    internal const int InvalidOptions = -3;
    internal const int InvalidUser = -4;
    internal const int Timeout = -7;
    internal const int Cancelled = -8;
    internal const int Internal = -10;

    /// <summary>
    /// All functions by their C names. A function's number is its index in the table.
    /// </summary>
    internal enum Function
    {
        commbox_version,
        commbox_abi_version,
        commbox_client_new,
        commbox_client_new_with,
        commbox_options_new,
        commbox_options_set,
        commbox_options_free,
        commbox_client_free,
        commbox_client_set_api_key,
        commbox_client_set_max_requests_per_second,
        commbox_client_cancel,
        commbox_client_set_interrupt,
        commbox_client_set_log,
        commbox_client_validate_user_json,
        commbox_client_stats_json,
        commbox_client_diagnose_json,
        commbox_last_attempts,
        commbox_last_elapsed_ms,
        commbox_last_http_status,
        commbox_last_delivery,
        commbox_last_retry_after_ms,
        commbox_last_request_id,
        commbox_code_name,
        commbox_code_is_transient,
        commbox_update_user_json,
        commbox_update_user_json_with,
        commbox_batch_new_with,
        commbox_batch_submit_with,
        commbox_batch_new,
        commbox_batch_submit,
        commbox_batch_next,
        commbox_batch_notify_fd,
        commbox_batch_close,
        commbox_batch_cancel,
        commbox_batch_cancel_tag,
        commbox_batch_stats_json,
        commbox_batch_free,
        commbox_last_error,
        commbox_last_error_code,
        commbox_last_error_json,
        commbox_string_free,
        commbox_user_new,
        commbox_user_set,
        commbox_user_set_custom,
        commbox_user_to_json,
        commbox_user_free,
    }

    private static readonly object Lock = new();

    /// <summary>The addresses of the functions; null until the library is loaded.</summary>
    private static nint[]? s_table;

    /// <summary>
    /// The names of all functions, so that a library that lacks one is detected before the first
    /// call.
    /// </summary>
    internal static string[] Functions => Enum.GetNames(typeof(Function));

    internal static byte* Version() =>
        ((delegate* unmanaged[Cdecl]<byte*>)Of(Function.commbox_version))();

    internal static uint AbiVersion() =>
        ((delegate* unmanaged[Cdecl]<uint>)Of(Function.commbox_abi_version))();

    internal static nint ClientNew(byte* apiKey, byte* optionsJson) =>
        ((delegate* unmanaged[Cdecl]<byte*, byte*, nint>)Of(Function.commbox_client_new))(
            apiKey, optionsJson);

    internal static nint ClientNewWith(byte* apiKey, nint options) =>
        ((delegate* unmanaged[Cdecl]<byte*, nint, nint>)Of(Function.commbox_client_new_with))(
            apiKey, options);

    internal static nint OptionsNew() =>
        ((delegate* unmanaged[Cdecl]<nint>)Of(Function.commbox_options_new))();

    internal static int OptionsSet(nint options, byte* key, byte* value) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*, byte*, int>)Of(Function.commbox_options_set))(
            options, key, value);

    internal static void OptionsFree(nint options) =>
        ((delegate* unmanaged[Cdecl]<nint, void>)Of(Function.commbox_options_free))(options);

    internal static void ClientFree(nint client) =>
        ((delegate* unmanaged[Cdecl]<nint, void>)Of(Function.commbox_client_free))(client);

    internal static int ClientSetApiKey(nint client, byte* apiKey) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*, int>)Of(Function.commbox_client_set_api_key))(
            client, apiKey);

    internal static int ClientSetMaxRequestsPerSecond(nint client, double requestsPerSecond) =>
        ((delegate* unmanaged[Cdecl]<nint, double, int>)
            Of(Function.commbox_client_set_max_requests_per_second))(client, requestsPerSecond);

    internal static int ClientCancel(nint client) =>
        ((delegate* unmanaged[Cdecl]<nint, int>)Of(Function.commbox_client_cancel))(client);

    internal static int ClientSetInterrupt(
        nint client, delegate* unmanaged[Cdecl]<void*, int> poll, void* context) =>
        ((delegate* unmanaged[Cdecl]<nint, delegate* unmanaged[Cdecl]<void*, int>, void*, int>)
            Of(Function.commbox_client_set_interrupt))(client, poll, context);

    internal static int ClientSetLog(
        nint client,
        int level,
        delegate* unmanaged[Cdecl]<void*, int, byte*, byte*, void> log,
        void* context) =>
        ((delegate* unmanaged[Cdecl]<
            nint, int, delegate* unmanaged[Cdecl]<void*, int, byte*, byte*, void>, void*, int>)
            Of(Function.commbox_client_set_log))(client, level, log, context);

    internal static int ClientValidateUserJson(nint client, long userId, byte* userJson) =>
        ((delegate* unmanaged[Cdecl]<nint, long, byte*, int>)
            Of(Function.commbox_client_validate_user_json))(client, userId, userJson);

    internal static byte* ClientStatsJson(nint client) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*>)Of(Function.commbox_client_stats_json))(client);

    internal static byte* ClientDiagnoseJson(nint client) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*>)Of(Function.commbox_client_diagnose_json))(
            client);

    internal static int LastAttempts() =>
        ((delegate* unmanaged[Cdecl]<int>)Of(Function.commbox_last_attempts))();

    internal static long LastElapsedMs() =>
        ((delegate* unmanaged[Cdecl]<long>)Of(Function.commbox_last_elapsed_ms))();

    internal static int LastHttpStatus() =>
        ((delegate* unmanaged[Cdecl]<int>)Of(Function.commbox_last_http_status))();

    internal static int LastDelivery() =>
        ((delegate* unmanaged[Cdecl]<int>)Of(Function.commbox_last_delivery))();

    internal static long LastRetryAfterMs() =>
        ((delegate* unmanaged[Cdecl]<long>)Of(Function.commbox_last_retry_after_ms))();

    internal static byte* LastRequestId() =>
        ((delegate* unmanaged[Cdecl]<byte*>)Of(Function.commbox_last_request_id))();

    internal static byte* CodeName(int code) =>
        ((delegate* unmanaged[Cdecl]<int, byte*>)Of(Function.commbox_code_name))(code);

    internal static int CodeIsTransient(int code) =>
        ((delegate* unmanaged[Cdecl]<int, int>)Of(Function.commbox_code_is_transient))(code);

    internal static int UpdateUserJson(
        nint client, long userId, byte* userJson, byte** responseJson) =>
        ((delegate* unmanaged[Cdecl]<nint, long, byte*, byte**, int>)
            Of(Function.commbox_update_user_json))(client, userId, userJson, responseJson);

    internal static int UpdateUserJsonWith(
        nint client, long userId, byte* userJson, byte* callJson, byte** responseJson) =>
        ((delegate* unmanaged[Cdecl]<
            nint, long, byte*, byte*, byte**, int>)
            Of(Function.commbox_update_user_json_with))(client, userId, userJson, callJson, responseJson);

    internal static nint BatchNewWith(nint client, nint options) =>
        ((delegate* unmanaged[Cdecl]<nint, nint, nint>)Of(Function.commbox_batch_new_with))(
            client, options);

    internal static int BatchSubmitWith(
        nint batch, ulong tag, long userId, byte* userJson, byte* callJson, long timeoutMs) =>
        ((delegate* unmanaged[Cdecl]<
            nint, ulong, long, byte*, byte*, long, int>)
            Of(Function.commbox_batch_submit_with))(batch, tag, userId, userJson, callJson, timeoutMs);

    internal static nint BatchNew(nint client, byte* optionsJson) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*, nint>)Of(Function.commbox_batch_new))(
            client, optionsJson);

    internal static int BatchSubmit(
        nint batch, ulong tag, long userId, byte* userJson, long timeoutMs) =>
        ((delegate* unmanaged[Cdecl]<nint, ulong, long, byte*, long, int>)
            Of(Function.commbox_batch_submit))(batch, tag, userId, userJson, timeoutMs);

    internal static int BatchNext(nint batch, long timeoutMs, ulong* tag, int* code, byte** json) =>
        ((delegate* unmanaged[Cdecl]<nint, long, ulong*, int*, byte**, int>)
            Of(Function.commbox_batch_next))(batch, timeoutMs, tag, code, json);

    internal static long BatchNotifyFd(nint batch) =>
        ((delegate* unmanaged[Cdecl]<nint, long>)Of(Function.commbox_batch_notify_fd))(batch);

    internal static int BatchClose(nint batch) =>
        ((delegate* unmanaged[Cdecl]<nint, int>)Of(Function.commbox_batch_close))(batch);

    internal static int BatchCancel(nint batch) =>
        ((delegate* unmanaged[Cdecl]<nint, int>)Of(Function.commbox_batch_cancel))(batch);

    internal static int BatchCancelTag(nint batch, ulong tag) =>
        ((delegate* unmanaged[Cdecl]<nint, ulong, int>)Of(Function.commbox_batch_cancel_tag))(
            batch, tag);

    internal static byte* BatchStatsJson(nint batch) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*>)Of(Function.commbox_batch_stats_json))(batch);

    internal static void BatchFree(nint batch) =>
        ((delegate* unmanaged[Cdecl]<nint, void>)Of(Function.commbox_batch_free))(batch);

    internal static byte* LastError() =>
        ((delegate* unmanaged[Cdecl]<byte*>)Of(Function.commbox_last_error))();

    internal static int LastErrorCode() =>
        ((delegate* unmanaged[Cdecl]<int>)Of(Function.commbox_last_error_code))();

    internal static byte* LastErrorJson() =>
        ((delegate* unmanaged[Cdecl]<byte*>)Of(Function.commbox_last_error_json))();

    internal static void StringFree(byte* text) =>
        ((delegate* unmanaged[Cdecl]<byte*, void>)Of(Function.commbox_string_free))(text);

    internal static nint UserNew() =>
        ((delegate* unmanaged[Cdecl]<nint>)Of(Function.commbox_user_new))();

    internal static int UserSet(nint user, byte* name, byte* value) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*, byte*, int>)Of(Function.commbox_user_set))(
            user, name, value);

    internal static int UserSetCustom(nint user, byte* name, byte* value) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*, byte*, int>)Of(Function.commbox_user_set_custom))(
            user, name, value);

    internal static byte* UserToJson(nint user) =>
        ((delegate* unmanaged[Cdecl]<nint, byte*>)Of(Function.commbox_user_to_json))(user);

    internal static void UserFree(nint user) =>
        ((delegate* unmanaged[Cdecl]<nint, void>)Of(Function.commbox_user_free))(user);

    /// <summary>Returns the address of a function.</summary>
    /// <exception cref="DllNotFoundException">The library cannot be loaded.</exception>
    private static nint Of(Function function) => (Volatile.Read(ref s_table) ?? Fill())[(int)function];

    private static nint[] Fill()
    {
        lock (Lock)
        {
            if (s_table is null)
            {
                nint library = LibraryLoader.Load();
                nint[] table = [.. Functions.Select(name => SharedLibrary.Export(library, name))];
                Volatile.Write(ref s_table, table);
            }
            return s_table!;
        }
    }
}
