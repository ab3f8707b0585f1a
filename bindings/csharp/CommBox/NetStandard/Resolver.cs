using System.Linq.Expressions;
using System.Reflection;

namespace CommBox;

/// <summary>
/// The one resolver that an assembly can have for its imports. .NET Framework and Mono have none;
/// what newer .NET has, this target can only find by name.
/// </summary>
internal static class Resolver
{
    /// <summary>Takes the place for a resolver that leaves all to .NET.</summary>
    /// <exception cref="InvalidOperationException">It is taken.</exception>
    internal static void Claim(Assembly assembly)
    {
        MethodInfo? set = typeof(object).Assembly.GetType("System.Runtime.InteropServices.NativeLibrary")
            ?.GetMethod("SetDllImportResolver");
        if (set is null)
        {
            return;
        }
        Type type = set.GetParameters()[1].ParameterType;
        ParameterExpression[] parameters =
            [.. type.GetMethod("Invoke")!.GetParameters().Select(each => Expression.Parameter(each.ParameterType))];
        Delegate leavesAll = Expression.Lambda(type, Expression.Default(typeof(nint)), parameters).Compile();
        try
        {
            set.Invoke(null, [assembly, leavesAll]);
        }
        catch (TargetInvocationException error) when (error.InnerException is InvalidOperationException taken)
        {
            throw new InvalidOperationException(taken.Message, taken);
        }
    }
}
