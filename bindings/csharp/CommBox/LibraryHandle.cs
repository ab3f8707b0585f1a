using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Owns a handle of the library: a token, never an address.</summary>
internal abstract class LibraryHandle() : SafeHandle(default, ownsHandle: true)
{
    public override bool IsInvalid => handle == IntPtr.Zero;

    /// <summary>Keeps the handle from being freed while it is in use.</summary>
    /// <exception cref="ObjectDisposedException">It is closed.</exception>
    internal Lease Hold()
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
        }
        catch (ObjectDisposedException)
        {
            // The handle is nobody's business.
            throw new ObjectDisposedException(typeof(CommBoxClient).FullName);
        }
        return new(this);
    }

    /// <summary>
    /// Raises the error of a call, at once and on its thread, whose next call replaces it.
    /// </summary>
    protected static void Check(int code, CancellationToken cancellationToken = default)
    {
        if (code != Native.Ok)
        {
            throw CommBoxException.Last(cancellationToken);
        }
    }

    internal readonly ref struct Lease(LibraryHandle held)
    {
        internal nint Handle => held.handle;

        public void Dispose() => held.DangerousRelease();
    }
}
