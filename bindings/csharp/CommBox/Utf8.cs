using System.Runtime.InteropServices;
using System.Text;

namespace CommBox;

/// <summary>Text as C has it. What C could only hold changed or cut short is refused, and never quoted.</summary>
internal static unsafe class Utf8
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>
    /// Text in UTF-8. <paramref name="name"/> is what an error calls it, <paramref name="code"/> the error's code.
    /// </summary>
    internal static byte[] Encode(string text, string name, int code)
    {
        try
        {
            return Strict.GetBytes(text);
        }
        catch (EncoderFallbackException error)
        {
            throw new CommBoxValidationException(
                code, $"{name} has half a surrogate pair at index {error.Index}, which is no character");
        }
    }

    /// <summary>Text in UTF-8 with the NUL that ends it in C.</summary>
    internal static byte[] Terminate(string text, string name)
    {
        int nul = text.IndexOf('\0');
        if (nul >= 0)
        {
            throw new CommBoxValidationException($"{name} has a NUL character at index {nul}, where its text would end");
        }
        return Encode(text + '\0', name, Native.InvalidArgument);
    }

    /// <summary>The same, and null for null.</summary>
    internal static byte[]? TerminateOrNull(string? text, string name) => text is null ? null : Terminate(text, name);

    /// <summary>The library's text; "" for NULL.</summary>
    internal static string Decode(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";
}
