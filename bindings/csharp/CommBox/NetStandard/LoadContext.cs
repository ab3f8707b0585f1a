using System.Reflection;

namespace CommBox;

/// <summary>
/// The context that this assembly is loaded in; .NET Framework and Mono have none.
/// </summary>
internal static class LoadContext
{
    /// <summary>Runs an action when a plugin's context is unloaded.</summary>
    internal static void WhenUnloaded(Action action)
    {
        Type? type = Type.GetType(
            "System.Runtime.Loader.AssemblyLoadContext, System.Private.CoreLib");
        object? context = type?.GetMethod("GetLoadContext")?.Invoke(
            null, [typeof(LoadContext).Assembly]);
        if (context is not null
            && type!.GetProperty("IsCollectible")?.GetValue(context) is true
            && type.GetEvent("Unloading") is { EventHandlerType: { } handler } unloading)
        {
            MethodInfo run = typeof(Unloading).GetMethod(nameof(Unloading.Run))!;
            unloading.AddEventHandler(
                context, Delegate.CreateDelegate(handler, new Unloading(action), run));
        }
    }

    private sealed class Unloading(Action action)
    {
        public void Run(object context) => action();
    }
}
