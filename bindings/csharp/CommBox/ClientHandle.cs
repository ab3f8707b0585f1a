using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Owns a <c>commbox_client</c>.</summary>
internal sealed unsafe class ClientHandle : LibraryHandle
{
    /// <summary>Of the call that runs on this thread.</summary>
    [ThreadStatic]
    private static CancellationToken t_cancellationToken;

    /// <summary>No client; the library refuses it with a reason.</summary>
    internal ClientHandle()
    {
    }

    internal ClientHandle(string apiKey, string? optionsJson)
    {
        fixed (byte* key = Utf8.Terminate(apiKey, nameof(apiKey)))
        fixed (byte* options = optionsJson is null ? null : Utf8.Terminate(optionsJson, "options"))
        {
            SetHandle(Native.ClientNew(key, options));
        }
        if (IsInvalid)
        {
            throw CommBoxException.LastOfOptions(CommBoxClientOptions.PropertyFor);
        }
        Check(Native.ClientSetInterrupt(handle, &IsCancelled, context: null));
    }

    internal void SetApiKey(string apiKey)
    {
        using Lease lease = Hold();
        fixed (byte* key = Utf8.Terminate(apiKey, nameof(apiKey)))
        {
            Check(Native.ClientSetApiKey(handle, key));
        }
    }

    internal void SetMaxRequestsPerSecond(double rate)
    {
        using Lease lease = Hold();
        Check(Native.ClientSetMaxRequestsPerSecond(handle, rate));
    }

    internal void Cancel()
    {
        using Lease lease = Hold();
        Check(Native.ClientCancel(handle));
    }

    internal string UpdateUserJson(long userId, string userJson, CancellationToken cancellationToken)
    {
        using Lease lease = Hold();
        byte* response = null;
        t_cancellationToken = cancellationToken;
        try
        {
            fixed (byte* user = Utf8.Terminate(userJson, nameof(userJson)))
            {
                Check(Native.UpdateUserJson(handle, userId, user, &response), cancellationToken);
            }
            return Utf8.Decode(response);
        }
        finally
        {
            t_cancellationToken = default;
            Native.StringFree(response);
        }
    }

    protected override bool ReleaseHandle()
    {
        Native.ClientFree(handle);
        return true;
    }

    /// <summary>
    /// Asked by the library while a call waits, on the call's thread, so that each call has a token of its own and
    /// none needs a context that would have to be freed. A token's state is a field of its source: reading it throws
    /// nothing, also where the source is disposed.
    /// </summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int IsCancelled(void* context) => t_cancellationToken.IsCancellationRequested ? 1 : 0;
}
