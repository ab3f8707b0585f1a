using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Owns a handle of the library. The handle is opaque, not an address.</summary>
internal abstract class LibraryHandle() : SafeHandle(default, ownsHandle: true)
{
    public override bool IsInvalid => handle == IntPtr.Zero;

    /// <summary>Prevents the handle from being freed while it is in use.</summary>
    /// <exception cref="ObjectDisposedException">The handle is closed.</exception>
    internal Lease Hold()
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
        }
        catch (ObjectDisposedException)
        {
            // The message names the public class, since the handle is internal.
            throw new ObjectDisposedException(typeof(CommBoxClient).FullName);
        }
        return new(this);
    }

    /// <summary>
    /// Throws the error of a call. Call it at once and on the same thread, whose next call replaces
    /// the error.
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
