namespace CommBox;

/// <summary>Each option as the library calls it, the property that it is here, and its value.</summary>
internal sealed class OptionTable<T>(params (string Option, string Property, Func<T, object?> Value)[] members)
{
    /// <summary>The property for an option of the library.</summary>
    internal string PropertyFor(string option) =>
        members.FirstOrDefault(member => member.Option == option).Property ?? option;

    /// <summary>The options that are set, as the library reads them.</summary>
    internal string ToJson(T options) => JsonText.Object(json =>
    {
        foreach ((string option, string property, Func<T, object?> valueOf) in members)
        {
            object? value = valueOf(options);
            if (value is TimeSpan time)
            {
                value = time.Ticks / TimeSpan.TicksPerMillisecond;
            }
            if (value is not null)
            {
                json.WriteMember(option, value, path: property, code: Native.InvalidOptions);
            }
        }
    });
}
