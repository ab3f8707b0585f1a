using System.Buffers;
using System.Text;

namespace CommBox;

/// <summary>
/// NUL-terminated UTF-8 text for C, in a pooled buffer. The buffer is wiped before it is returned,
/// because it contains a user's values.
/// </summary>
internal sealed class NativeText : IBufferWriter<byte>, IDisposable
{
    private const int Smallest = 256;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(Smallest);

    /// <summary>The buffer: the text, its NUL, and unused bytes.</summary>
    internal byte[] Buffer => _buffer;

    /// <summary>The number of bytes of the text.</summary>
    internal int Length { get; private set; }

    public void Advance(int count) => Length += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _buffer.AsMemory(Length);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _buffer.AsSpan(Length);
    }

    public void Dispose()
    {
        if (_buffer.Length > 0)
        {
            Return(_buffer, Length);
            _buffer = [];
        }
    }

    /// <summary>Appends the NUL.</summary>
    internal void Terminate() => GetSpan(1)[0] = 0;

    /// <summary>Returns the text as a string.</summary>
    public override string ToString() => Encoding.UTF8.GetString(_buffer, 0, Length);

    /// <summary>Returns a copy with its NUL. The copy is not pooled and not wiped.</summary>
    internal byte[] ToArray() => _buffer.AsSpan(0, Length + 1).ToArray();

    private void Reserve(int size)
    {
        size = Math.Max(size, 1);
        if (_buffer.Length - Length >= size)
        {
            return;
        }
        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(checked(Length + size), 2 * _buffer.Length));
        _buffer.AsSpan(0, Length).CopyTo(larger);
        Return(_buffer, Length);
        _buffer = larger;
    }

    private static void Return(byte[] buffer, int length)
    {
        buffer.AsSpan(0, length).Clear();
        ArrayPool<byte>.Shared.Return(buffer);
    }
}
