using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>How the program was deployed.</summary>
internal static class Deployment
{
    /// <summary>The platform, as packages name it.</summary>
    internal static string? RuntimeIdentifier => RuntimeInformation.RuntimeIdentifier;

    /// <summary>Where the assembly is; "" in a single file.</summary>
    [UnconditionalSuppressMessage("SingleFile", "IL3000", Justification = "Empty in a single file, and then left out.")]
    internal static string AssemblyFolder()
    {
        string? folder = Path.GetDirectoryName(typeof(Deployment).Assembly.Location);
        return string.IsNullOrEmpty(folder) ? "" : folder + Path.DirectorySeparatorChar;
    }

    /// <summary>The same as the assembly's own: it is not copied before it is loaded.</summary>
    internal static string OriginalFolder() => "";
}
