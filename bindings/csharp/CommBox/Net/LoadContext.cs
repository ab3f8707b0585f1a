using System.Runtime.Loader;

namespace CommBox;

/// <summary>The context that this assembly is loaded in.</summary>
internal static class LoadContext
{
    /// <summary>Runs an action when a plugin's context is unloaded.</summary>
    internal static void WhenUnloaded(Action action)
    {
        var context = AssemblyLoadContext.GetLoadContext(typeof(LoadContext).Assembly);
        if (context is { IsCollectible: true })
        {
            context.Unloading += _ => action();
        }
    }
}
