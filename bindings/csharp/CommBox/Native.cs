using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

// Every parameter crosses as the bits that it is; what would need converting does not compile into
// a call.
[assembly: DisableRuntimeMarshalling]

// Where no resolver finds the library: never in the current directory.
[assembly: DefaultDllImportSearchPaths(CommBox.LibraryLoader.SearchPath)]

namespace CommBox;

/// <summary>
/// The functions of <c>commbox.h</c>, as they are. Handles are tokens; text is NUL-terminated
/// UTF-8.
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
    /// All that is declared here, so that a library that lacks one is found out before the first
    /// call.
    /// </summary>
    internal static readonly string[] Functions =
    [
        "commbox_version", "commbox_abi_version", "commbox_client_new", "commbox_client_new_with",
        "commbox_client_free", "commbox_update_user_json_with", "commbox_options_new", "commbox_options_set",
        "commbox_options_free", "commbox_batch_new_with", "commbox_batch_submit_with",
        "commbox_client_set_api_key", "commbox_client_set_max_requests_per_second", "commbox_client_cancel",
        "commbox_client_set_interrupt", "commbox_client_set_log",
        "commbox_client_validate_user_json", "commbox_client_stats_json", "commbox_client_diagnose_json",
        "commbox_update_user_json", "commbox_batch_new", "commbox_batch_submit", "commbox_batch_next",
        "commbox_batch_notify_fd", "commbox_batch_close", "commbox_batch_cancel", "commbox_batch_cancel_tag",
        "commbox_batch_stats_json",
        "commbox_batch_free", "commbox_last_error", "commbox_last_error_code", "commbox_last_error_json",
        "commbox_last_attempts", "commbox_last_elapsed_ms", "commbox_last_http_status", "commbox_last_delivery",
        "commbox_last_retry_after_ms", "commbox_last_request_id", "commbox_code_name", "commbox_code_is_transient",
        "commbox_string_free", "commbox_user_new", "commbox_user_set", "commbox_user_set_custom",
        "commbox_user_to_json", "commbox_user_free",
    ];

    private const string Library = LibraryLoader.Name;

    // Runs before the first call into the library, and so before the library is looked for.
    static Native() => LibraryLoader.Register(typeof(Native).Assembly);

    [DllImport(Library, EntryPoint = "commbox_version", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* Version();

    [DllImport(Library, EntryPoint = "commbox_abi_version", CallingConvention = CallingConvention.Cdecl)]
    internal static extern uint AbiVersion();

    [DllImport(Library, EntryPoint = "commbox_client_new", CallingConvention = CallingConvention.Cdecl)]
    internal static extern nint ClientNew(byte* apiKey, byte* optionsJson);

    [DllImport(Library, EntryPoint = "commbox_client_new_with", CallingConvention = CallingConvention.Cdecl)]
    internal static extern nint ClientNewWith(byte* apiKey, nint options);

    [DllImport(Library, EntryPoint = "commbox_options_new", CallingConvention = CallingConvention.Cdecl)]
    internal static extern nint OptionsNew();

    [DllImport(Library, EntryPoint = "commbox_options_set", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int OptionsSet(nint options, byte* key, byte* value);

    [DllImport(Library, EntryPoint = "commbox_options_free", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void OptionsFree(nint options);

    [DllImport(Library, EntryPoint = "commbox_client_free", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void ClientFree(nint client);

    [DllImport(Library, EntryPoint = "commbox_client_set_api_key", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientSetApiKey(nint client, byte* apiKey);

    [DllImport(
        Library, EntryPoint = "commbox_client_set_max_requests_per_second", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientSetMaxRequestsPerSecond(nint client, double requestsPerSecond);

    [DllImport(Library, EntryPoint = "commbox_client_cancel", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientCancel(nint client);

    [DllImport(Library, EntryPoint = "commbox_client_set_interrupt", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientSetInterrupt(nint client, delegate* unmanaged[Cdecl]<void*, int> poll, void* context);

    [DllImport(Library, EntryPoint = "commbox_client_set_log", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientSetLog(
        nint client,
        int level,
        delegate* unmanaged[Cdecl]<void*, int, byte*, byte*, void> log,
        void* context);

    [DllImport(Library, EntryPoint = "commbox_client_validate_user_json", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientValidateUserJson(nint client, long userId, byte* userJson);

    [DllImport(Library, EntryPoint = "commbox_client_stats_json", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* ClientStatsJson(nint client);

    [DllImport(Library, EntryPoint = "commbox_client_diagnose_json", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* ClientDiagnoseJson(nint client);

    [DllImport(Library, EntryPoint = "commbox_last_attempts", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int LastAttempts();

    [DllImport(Library, EntryPoint = "commbox_last_elapsed_ms", CallingConvention = CallingConvention.Cdecl)]
    internal static extern long LastElapsedMs();

    [DllImport(Library, EntryPoint = "commbox_last_http_status", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int LastHttpStatus();

    [DllImport(Library, EntryPoint = "commbox_last_delivery", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int LastDelivery();

    [DllImport(Library, EntryPoint = "commbox_last_retry_after_ms", CallingConvention = CallingConvention.Cdecl)]
    internal static extern long LastRetryAfterMs();

    [DllImport(Library, EntryPoint = "commbox_last_request_id", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* LastRequestId();

    [DllImport(Library, EntryPoint = "commbox_code_name", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* CodeName(int code);

    [DllImport(Library, EntryPoint = "commbox_code_is_transient", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int CodeIsTransient(int code);

    [DllImport(Library, EntryPoint = "commbox_update_user_json", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int UpdateUserJson(nint client, long userId, byte* userJson, byte** responseJson);

    [DllImport(Library, EntryPoint = "commbox_update_user_json_with", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int UpdateUserJsonWith(
        nint client, long userId, byte* userJson, byte* callJson, byte** responseJson);

    [DllImport(Library, EntryPoint = "commbox_batch_new_with", CallingConvention = CallingConvention.Cdecl)]
    internal static extern nint BatchNewWith(nint client, nint options);

    [DllImport(Library, EntryPoint = "commbox_batch_submit_with", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int BatchSubmitWith(
        nint batch, ulong tag, long userId, byte* userJson, byte* callJson, long timeoutMs);

    [DllImport(Library, EntryPoint = "commbox_batch_new", CallingConvention = CallingConvention.Cdecl)]
    internal static extern nint BatchNew(nint client, byte* optionsJson);

    [DllImport(Library, EntryPoint = "commbox_batch_submit", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int BatchSubmit(nint batch, ulong tag, long userId, byte* userJson, long timeoutMs);

    [DllImport(Library, EntryPoint = "commbox_batch_next", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int BatchNext(nint batch, long timeoutMs, ulong* tag, int* code, byte** json);

    [DllImport(Library, EntryPoint = "commbox_batch_notify_fd", CallingConvention = CallingConvention.Cdecl)]
    internal static extern long BatchNotifyFd(nint batch);

    [DllImport(Library, EntryPoint = "commbox_batch_close", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int BatchClose(nint batch);

    [DllImport(Library, EntryPoint = "commbox_batch_cancel", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int BatchCancel(nint batch);

    [DllImport(Library, EntryPoint = "commbox_batch_cancel_tag", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int BatchCancelTag(nint batch, ulong tag);

    [DllImport(Library, EntryPoint = "commbox_batch_stats_json", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* BatchStatsJson(nint batch);

    [DllImport(Library, EntryPoint = "commbox_batch_free", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void BatchFree(nint batch);

    [DllImport(Library, EntryPoint = "commbox_last_error", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* LastError();

    [DllImport(Library, EntryPoint = "commbox_last_error_code", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int LastErrorCode();

    [DllImport(Library, EntryPoint = "commbox_last_error_json", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* LastErrorJson();

    [DllImport(Library, EntryPoint = "commbox_string_free", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void StringFree(byte* text);

    [DllImport(Library, EntryPoint = "commbox_user_new", CallingConvention = CallingConvention.Cdecl)]
    internal static extern nint UserNew();

    [DllImport(Library, EntryPoint = "commbox_user_set", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int UserSet(nint user, byte* name, byte* value);

    [DllImport(Library, EntryPoint = "commbox_user_set_custom", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int UserSetCustom(nint user, byte* name, byte* value);

    [DllImport(Library, EntryPoint = "commbox_user_to_json", CallingConvention = CallingConvention.Cdecl)]
    internal static extern byte* UserToJson(nint user);

    [DllImport(Library, EntryPoint = "commbox_user_free", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void UserFree(nint user);
}
