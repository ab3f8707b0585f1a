using System.Globalization;

namespace CommBox;

/// <summary>Formats objects for logs.</summary>
internal static class LogText
{
    /// <summary>
    /// Returns a type's name and the members that are not null, in the format of a record.
    /// </summary>
    internal static string Of(string type, params (string Name, object? Value)[] members) =>
        $"{type} {{ {OfMembers(members)} }}";

    /// <summary>Returns the members that are not null.</summary>
    internal static string OfMembers(params (string Name, object? Value)[] members)
    {
        IEnumerable<string> texts =
            from member in members
            where member.Value is not null
            select $"{member.Name} = {Convert.ToString(member.Value, CultureInfo.InvariantCulture)}";
        return string.Join(", ", texts);
    }

    /// <summary>Returns the number of failures by code; null if there are none.</summary>
    internal static string? OfCodes(IReadOnlyDictionary<int, long> byCode)
    {
        IEnumerable<string> texts =
            from code in byCode
            orderby code.Key
            select $"{code.Key}: {code.Value}";
        return byCode.Count == 0 ? null : $"{{ {string.Join(", ", texts)} }}";
    }
}
