using System.Runtime.InteropServices;
using System.Text;

namespace CommBox;

/// <summary>
/// The dynamic linker of Unix: in a library of its own where that is GNU's, else in the C library.
/// </summary>
internal static unsafe class Unix
{
    private static readonly bool IsApart = HasOwnLibrary();

    internal static nint Open(string path, int mode)
    {
        fixed (byte* text = Terminated(path))
        {
            return IsApart ? OwnLibrary.dlopen(text, mode) : CLibrary.dlopen(text, mode);
        }
    }

    internal static nint Symbol(nint library, string name)
    {
        fixed (byte* text = Terminated(name))
        {
            return IsApart ? OwnLibrary.dlsym(library, text) : CLibrary.dlsym(library, text);
        }
    }

    internal static void Close(nint library) => _ = IsApart ? OwnLibrary.dlclose(library) : CLibrary.dlclose(library);

    /// <summary>Why the last call failed; null if none has since the last error.</summary>
    internal static string? Error()
    {
        byte* text = IsApart ? OwnLibrary.dlerror() : CLibrary.dlerror();
        return text is null ? null : Utf8.Decode(text);
    }

    /// <summary>The file of the library that an address is in; null if there is none.</summary>
    internal static string? FileAround(void* address)
    {
        Place place;
        int found = IsApart ? OwnLibrary.dladdr(address, &place) : CLibrary.dladdr(address, &place);
        return found == 0 || place.File is null ? null : Utf8.Decode(place.File);
    }

    private static byte[] Terminated(string text) => Encoding.UTF8.GetBytes(text + '\0');

    private static bool HasOwnLibrary()
    {
        try
        {
            OwnLibrary.dlerror();
            return true;
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            return false;
        }
    }

    /// <summary><c>Dl_info</c>.</summary>
    private struct Place
    {
        internal byte* File;
        internal void* Base;
        internal byte* Symbol;
        internal void* Address;
    }

    private static class OwnLibrary
    {
        private const string Name = "libdl.so.2";

        [DllImport(Name)]
        internal static extern nint dlopen(byte* path, int mode);

        [DllImport(Name)]
        internal static extern nint dlsym(nint library, byte* name);

        [DllImport(Name)]
        internal static extern int dlclose(nint library);

        [DllImport(Name)]
        internal static extern byte* dlerror();

        [DllImport(Name)]
        internal static extern int dladdr(void* address, Place* place);
    }

    private static class CLibrary
    {
        private const string Name = "libc";

        [DllImport(Name)]
        internal static extern nint dlopen(byte* path, int mode);

        [DllImport(Name)]
        internal static extern nint dlsym(nint library, byte* name);

        [DllImport(Name)]
        internal static extern int dlclose(nint library);

        [DllImport(Name)]
        internal static extern byte* dlerror();

        [DllImport(Name)]
        internal static extern int dladdr(void* address, Place* place);
    }
}
