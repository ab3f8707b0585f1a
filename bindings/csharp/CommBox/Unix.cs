using System.Runtime.InteropServices;
using System.Text;

namespace CommBox;

/// <summary>
/// The dynamic linker of Unix: a library of its own with glibc, otherwise part of the C library.
/// One of its functions is imported, and finds the others.
/// </summary>
internal static unsafe class Unix
{
    private static readonly bool IsApart = HasOwnLibrary();

    /// <summary><c>RTLD_DEFAULT</c>: all libraries of the program.</summary>
    private static nint Everywhere => OperatingSystem.IsMacOS() ? -2 : default;

    internal static nint Open(string path, int mode)
    {
        fixed (byte* text = Terminated(path))
        {
            return ((delegate* unmanaged[Cdecl]<byte*, int, nint>)Function("dlopen"))(text, mode);
        }
    }

    internal static nint Symbol(nint library, string name)
    {
        fixed (byte* text = Terminated(name))
        {
            return IsApart ? SymbolOfOwnLibrary(library, text) : SymbolOfCLibrary(library, text);
        }
    }

    internal static void Close(nint library) =>
        _ = ((delegate* unmanaged[Cdecl]<nint, int>)Function("dlclose"))(library);

    /// <summary>
    /// Returns the error of the last call; null if no call has failed since the previous error.
    /// </summary>
    internal static string? Error()
    {
        byte* text = ((delegate* unmanaged[Cdecl]<byte*>)Function("dlerror"))();
        return text is null ? null : Utf8.Decode(text);
    }

    /// <summary>
    /// Returns the file of the library that contains an address; null if none does.
    /// </summary>
    internal static string? FileAround(void* address)
    {
        Place place;
        int found = ((delegate* unmanaged[Cdecl]<void*, Place*, int>)Function("dladdr"))(address, &place);
        return found == 0 || place.File is null ? null : Utf8.Decode(place.File);
    }

    private static nint Function(string name)
    {
        nint address = Symbol(Everywhere, name);
        return address != default ? address : throw new EntryPointNotFoundException(name);
    }

    private static byte[] Terminated(string text) => Encoding.UTF8.GetBytes(text + '\0');

    private static bool HasOwnLibrary()
    {
        try
        {
            fixed (byte* name = Terminated("dlsym"))
            {
                SymbolOfOwnLibrary(Everywhere, name);
            }
            return true;
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            return false;
        }
    }

    [DllImport("libdl.so.2", EntryPoint = "dlsym")]
    private static extern nint SymbolOfOwnLibrary(nint library, byte* name);

    [DllImport("libc", EntryPoint = "dlsym")]
    private static extern nint SymbolOfCLibrary(nint library, byte* name);

    /// <summary><c>Dl_info</c>.</summary>
    private struct Place
    {
        internal byte* File;
        internal void* Base;
        internal byte* Symbol;
        internal void* Address;
    }
}
