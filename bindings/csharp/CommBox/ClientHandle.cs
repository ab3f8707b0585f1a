using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Owns a <c>commbox_client</c>: a token, never an address.</summary>
internal sealed unsafe class ClientHandle : SafeHandle
{
    /// <summary>No client; the library refuses it with a reason.</summary>
    internal ClientHandle() : base(0, ownsHandle: true)
    {
    }

    internal ClientHandle(string apiKey, string? optionsJson) : this()
    {
        fixed (byte* key = Utf8.Terminate(apiKey, nameof(apiKey)))
        fixed (byte* options = optionsJson is null ? null : Utf8.Terminate(optionsJson, "options"))
        {
            SetHandle(Native.ClientNew(key, options));
        }
        if (IsInvalid)
        {
            throw CommBoxException.Last();
        }
    }

    public override bool IsInvalid => handle == 0;

    internal void SetApiKey(string apiKey)
    {
        byte[] text = Utf8.Terminate(apiKey, nameof(apiKey));
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
            fixed (byte* key = text)
            {
                Check(Native.ClientSetApiKey(handle, key));
            }
        }
        finally
        {
            Release(held);
        }
    }

    internal string UpdateUserJson(long userId, string userJson)
    {
        byte[] text = Utf8.Terminate(userJson, nameof(userJson));
        byte* response = null;
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
            fixed (byte* user = text)
            {
                Check(Native.UpdateUserJson(handle, userId, user, &response));
            }
            return Utf8.Decode(response);
        }
        finally
        {
            Native.StringFree(response);
            Release(held);
        }
    }

    protected override bool ReleaseHandle()
    {
        Native.ClientFree(handle);
        return true;
    }

    /// <summary>
    /// Raises the error of a call, on its thread and before the handle is let go: the last release frees the client,
    /// and freeing is a call that clears the thread's error.
    /// </summary>
    private static void Check(int code)
    {
        if (code != 0)
        {
            throw CommBoxException.Last();
        }
    }

    private void Release(bool held)
    {
        if (held)
        {
            DangerousRelease();
        }
    }
}
