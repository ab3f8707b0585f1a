using System.Reflection;
using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>The one resolver that an assembly can have for its imports.</summary>
internal static class Resolver
{
    /// <summary>Takes the place for a resolver that leaves all to .NET.</summary>
    /// <exception cref="InvalidOperationException">It is taken.</exception>
    internal static void Claim(Assembly assembly) =>
        NativeLibrary.SetDllImportResolver(assembly, static (_, _, _) => 0);
}
