using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace CommBox;

/// <summary>What newer .NET has, by the names that it has there.</summary>
internal static unsafe class Runtime
{
    extension(ArgumentNullException)
    {
        internal static void ThrowIfNull(
            [NotNull] object? argument, [CallerArgumentExpression(nameof(argument))] string? name = null)
        {
            if (argument is null)
            {
                throw new ArgumentNullException(name);
            }
        }
    }

    extension(ObjectDisposedException)
    {
        internal static void ThrowIf(bool condition, object instance) => ThrowIf(condition, instance.GetType());

        internal static void ThrowIf(bool condition, Type type)
        {
            if (condition)
            {
                throw new ObjectDisposedException(type.FullName);
            }
        }
    }

    extension(OperatingSystem)
    {
        internal static bool IsWindows() => RuntimeInformation.IsOSPlatform(OSPlatform.Windows);

        internal static bool IsMacOS() => RuntimeInformation.IsOSPlatform(OSPlatform.OSX);
    }

    extension(Path)
    {
        /// <summary>It is asked on Windows alone.</summary>
        internal static bool IsPathFullyQualified(string path) =>
            path.StartsWith(@"\\", StringComparison.Ordinal) || (path.Length > 2 && path[1] == ':' && path[2] is '\\' or '/');
    }

    extension(float)
    {
        internal static bool IsFinite(float number) => !float.IsNaN(number) && !float.IsInfinity(number);
    }

    extension(double)
    {
        internal static bool IsFinite(double number) => !double.IsNaN(number) && !double.IsInfinity(number);
    }

    extension(MemoryMarshal)
    {
        internal static ReadOnlySpan<byte> CreateReadOnlySpanFromNullTerminated(byte* text)
        {
            int length = 0;
            while (text is not null && text[length] != 0)
            {
                length++;
            }
            return new(text, length);
        }
    }

    extension(Marshal)
    {
        internal static string? PtrToStringUTF8(nint text) =>
            text == IntPtr.Zero
                ? null
                : Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated((byte*)text));
    }

    extension(Encoding encoding)
    {
        internal int GetBytes(string text, Span<byte> into)
        {
            fixed (char* from = text)
            fixed (byte* to = into)
            {
                return text.Length == 0 ? 0 : encoding.GetBytes(from, text.Length, to, into.Length);
            }
        }

        internal int GetCharCount(ReadOnlySpan<byte> text)
        {
            fixed (byte* from = text)
            {
                return text.Length == 0 ? 0 : encoding.GetCharCount(from, text.Length);
            }
        }

        internal string GetString(ReadOnlySpan<byte> text)
        {
            fixed (byte* from = text)
            {
                return text.Length == 0 ? "" : encoding.GetString(from, text.Length);
            }
        }
    }

    internal static string[] Split(this string text, char separator, int count) => text.Split([separator], count);
}
