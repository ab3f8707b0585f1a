using System.Buffers;
using System.Text;

namespace CommBox;

/// <summary>
/// Text as C has it, in UTF-8 with a NUL at its end, in a buffer that is returned and wiped: it
/// holds a user's values.
/// </summary>
internal sealed class NativeText : IBufferWriter<byte>, IDisposable
{
    private const int Smallest = 256;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(Smallest);

    /// <summary>The bytes, up to the NUL and whatever lies behind.</summary>
    internal byte[] Buffer => _buffer;

    /// <summary>How many bytes the text has.</summary>
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

    /// <summary>Ends the text.</summary>
    internal void Terminate() => GetSpan(1)[0] = 0;

    /// <summary>The text as a string.</summary>
    public override string ToString() => Encoding.UTF8.GetString(_buffer, 0, Length);

    /// <summary>A copy with its NUL, which is neither returned nor wiped.</summary>
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
