using System.Diagnostics.CodeAnalysis;

namespace CommBox;

/// <summary>What collections of newer .NET have, by the names that it has there.</summary>
internal static class Collections
{
    internal static void Deconstruct<TKey, TValue>(
        this KeyValuePair<TKey, TValue> pair, out TKey key, out TValue value) =>
        (key, value) = (pair.Key, pair.Value);

    internal static TValue? GetValueOrDefault<TKey, TValue>(this Dictionary<TKey, TValue> dictionary, TKey key)
        where TKey : notnull =>
        dictionary.TryGetValue(key, out TValue? value) ? value : default;

    internal static bool Remove<TKey, TValue>(
        this Dictionary<TKey, TValue> dictionary, TKey key, [MaybeNullWhen(false)] out TValue value)
        where TKey : notnull =>
        dictionary.TryGetValue(key, out value) && dictionary.Remove(key);

    internal static bool TryPeek<T>(this Queue<T> queue, [MaybeNullWhen(false)] out T first)
    {
        first = queue.Count > 0 ? queue.Peek() : default;
        return queue.Count > 0;
    }
}
