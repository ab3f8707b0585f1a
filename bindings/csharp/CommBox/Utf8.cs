using System.Runtime.InteropServices;
using System.Text;

namespace CommBox;

/// <summary>
/// Text for C. Text that C could only represent changed or truncated is rejected, and never quoted.
/// </summary>
internal static unsafe class Utf8
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>
    /// Returns the text if UTF-8 can represent it. <paramref name="name"/> is its name in an error,
    /// and <paramref name="code"/> is the error's code.
    /// </summary>
    internal static string Checked(string text, string name, int code)
    {
        Length(text, name, code);
        return text;
    }

    /// <summary>Returns NUL-terminated UTF-8.</summary>
    internal static byte[] Terminate(string text, string name)
    {
        RefuseNul(text.IndexOf('\0'), name);
        var bytes = new byte[Length(text, name, Native.InvalidArgument) + 1];
        Strict.GetBytes(text, bytes);
        return bytes;
    }

    /// <summary>Returns NUL-terminated UTF-8 in a pooled buffer. The caller disposes it.</summary>
    internal static NativeText ToNative(string text, string name)
    {
        RefuseNul(text.IndexOf('\0'), name);
        int length = Length(text, name, Native.InvalidArgument);
        var native = new NativeText();
        native.Advance(Strict.GetBytes(text, native.GetSpan(length + 1)));
        native.Terminate();
        return native;
    }

    /// <summary>
    /// Returns UTF-8 text with a NUL, in a pooled buffer. The caller disposes it.
    /// </summary>
    internal static NativeText ToNative(ReadOnlySpan<byte> text, string name)
    {
        RefuseNul(text.IndexOf((byte)0), name);
        Check(text, name);
        var native = new NativeText();
        text.CopyTo(native.GetSpan(text.Length + 1));
        native.Advance(text.Length);
        native.Terminate();
        return native;
    }

    /// <summary>Returns UTF-8 text with a NUL, in an array.</summary>
    internal static byte[] ToTerminated(ReadOnlySpan<byte> text, string name)
    {
        using NativeText native = ToNative(text, name);
        return native.ToArray();
    }

    /// <summary>Returns UTF-8 text as a string.</summary>
    internal static string Decode(ReadOnlySpan<byte> text, string name)
    {
        Check(text, name);
        return Strict.GetString(text);
    }

    private static void Check(ReadOnlySpan<byte> text, string name)
    {
        try
        {
            Strict.GetCharCount(text);
        }
        catch (DecoderFallbackException error)
        {
            throw new CommBoxValidationException(
                $"{name} is not UTF-8: the byte at index {error.Index} is not part of a character");
        }
    }

    /// <summary>Returns NUL-terminated UTF-8; null for null.</summary>
    internal static byte[]? TerminateOrNull(string? text, string name) => text is null ? null : Terminate(text, name);

    /// <summary>Copies the bytes of a C string; empty for NULL.</summary>
    internal static byte[] Copy(byte* text) => MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text).ToArray();

    /// <summary>Returns a C string; "" for NULL.</summary>
    internal static string Decode(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";

    private static void RefuseNul(int nul, string name)
    {
        if (nul >= 0)
        {
            throw new CommBoxValidationException($"{name} has a NUL character at index {nul}, where its text would end");
        }
    }

    private static int Length(string text, string name, int code)
    {
        try
        {
            return Strict.GetByteCount(text);
        }
        catch (EncoderFallbackException error)
        {
            throw new CommBoxValidationException(
                code, $"{name} has half of a surrogate pair at index {error.Index}, which is not a character");
        }
    }
}
