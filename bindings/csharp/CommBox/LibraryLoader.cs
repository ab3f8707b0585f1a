using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace CommBox;

/// <summary>Finds the native library and verifies its ABI version.</summary>
internal static unsafe class LibraryLoader
{
    /// <summary>
    /// The environment variable with the path of the library, which is tried first.
    /// </summary>
    internal const string Variable = "COMMBOX_LIBRARY";

    /// <summary>The version of the ABI that <see cref="Native"/> declares.</summary>
    internal const uint AbiVersion = 1;

    /// <summary>Loads the library.</summary>
    /// <exception cref="DllNotFoundException">
    /// It was not found. The message lists each place and the reason.
    /// </exception>
    internal static nint Load() => Load(Candidates(), AbiVersion, asksDotNet: true);

    /// <summary>
    /// Loads the first candidate that is a library with this ABI version. The last candidate is
    /// what .NET itself finds: it knows the contents of a single-file application, and asks the
    /// AssemblyLoadContext. If the application has set a resolver, that candidate is the first one.
    /// </summary>
    /// <exception cref="DllNotFoundException">
    /// No candidate is usable. The message lists each and the reason.
    /// </exception>
    internal static nint Load(IEnumerable<string> candidates, uint abiVersion, bool asksDotNet = false)
    {
        IEnumerable<(string Place, Func<nint> Load)> places =
            candidates.Select(path => (path, (Func<nint>)(() => SharedLibrary.Load(path))));
        if (asksDotNet)
        {
            (string Place, Func<nint> Load) search = ($"{DotNetSearch.Name}, as .NET looks for it", DotNetSearch.Load);
            places = DotNetSearch.HasResolver() ? places.Prepend(search) : places.Append(search);
        }
        var failures = new List<string>();
        foreach ((string place, Func<nint> load) in places)
        {
            string? why = TryLoad(place, load, abiVersion, out nint library);
            if (why is null)
            {
                if (failures.Count > 0 && Named() is not null)
                {
                    Trace.TraceWarning($"CommBox uses {place}, since this failed: {failures[0]}");
                }
                return library;
            }
            failures.Add($"{place}: {why}");
        }
        throw new DllNotFoundException(
            $"The native library of CommBox could not be loaded; set {Variable} to its path. Tried, in this order:\n  "
            + string.Join("\n  ", failures));
    }

    /// <summary>
    /// Returns where the library may be, in order of preference. A name without a path is left to
    /// the system's search.
    /// </summary>
    internal static IEnumerable<string> Candidates()
    {
        string[] files =
            OperatingSystem.IsWindows() ? [DotNetSearch.NameOnWindows + ".dll", "commbox.dll"]
            : OperatingSystem.IsMacOS() ? ["libcommbox.1.dylib", "libcommbox.dylib"]
            : ["libcommbox.so.1", "libcommbox.so"];
        var beside =
            from folder in new[] { AppContext.BaseDirectory, Deployment.AssemblyFolder(), Deployment.OriginalFolder() }.Distinct()
            where folder.Length > 0
            from place in PackageFolders().Prepend("")
            from file in files
            let path = Path.Combine(folder, place, file)
            where !IsThisAssembly(path)
            select path;
        IEnumerable<string> found = beside.Concat(files).Concat(OnPath(files));
        return Named() is { } named ? found.Prepend(named) : found;
    }

    /// <summary>
    /// Windows searches PATH only together with the current directory, so PATH is searched here.
    /// </summary>
    private static IEnumerable<string> OnPath(string[] files) =>
        !OperatingSystem.IsWindows()
            ? []
            : from folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(';')
              where Path.IsPathFullyQualified(folder)
              from file in files
              let path = Path.Combine(folder, file)
              where File.Exists(path) && !IsThisAssembly(path)
              select path;

    /// <summary>
    /// Whether the path is this assembly on Windows, where file names are case-insensitive.
    /// </summary>
    private static bool IsThisAssembly(string path) =>
        OperatingSystem.IsWindows()
        && path.Equals(Deployment.AssemblyFolder() + "CommBox.dll", StringComparison.OrdinalIgnoreCase);

    private static string? Named() =>
        Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } path ? Path.GetFullPath(path) : null;

    /// <summary>
    /// Returns the folders where a package may keep the library of this platform. .NET's runtime
    /// identifier may name the distribution, so the portable one is included too.
    /// </summary>
    private static IEnumerable<string> PackageFolders()
    {
        string system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";
        string portable = $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
        string?[] identifiers = [Deployment.RuntimeIdentifier, portable];
        return identifiers.OfType<string>().Distinct().Select(identifier => Path.Combine("runtimes", identifier, "native"));
    }

    /// <summary>Returns null if the library was loaded, otherwise the reason.</summary>
    private static string? TryLoad(string place, Func<nint> load, uint abiVersion, out nint library)
    {
        library = 0;
        if (Path.IsPathRooted(place) && !File.Exists(place))
        {
            return "no such file";
        }
        try
        {
            library = load();
        }
        catch (Exception error) when (error is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            return OtherProcessor(place) ?? SystemsWords(error);
        }
        string? why = Mismatch(library, abiVersion);
        if (why is not null)
        {
            SharedLibrary.Free(library);
        }
        return why;
    }

    /// <summary>
    /// Returns the system's message, which is the last line, after .NET's general advice.
    /// </summary>
    internal static string SystemsWords(Exception error) =>
        error.Message.Split('\n').Select(line => line.Trim()).LastOrDefault(line => line.Length > 0)
            ?? $"{error.GetType().Name} without a message";

    /// <summary>
    /// Returns the processor that a file is built for if this process has a different one. The
    /// system's message is misleading: Linux reports a missing file, and Windows an invalid one.
    /// </summary>
    private static string? OtherProcessor(string path)
    {
        byte[] bytes = new byte[1024];
        ReadOnlySpan<byte> head = bytes;
        try
        {
            using FileStream file = File.OpenRead(path);
            head = head[..file.Read(bytes, 0, bytes.Length)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
        if ((OfElf(head) ?? OfPe(head)) is not { } theirs)
        {
            return null;
        }
        string ours = RuntimeInformation.ProcessArchitecture.ToString();
        return theirs == ours ? null : $"it is for {theirs}, this process for {ours}; take the library of this platform";
    }

    private static string? OfElf(ReadOnlySpan<byte> head)
    {
        if (!head.StartsWith("\u007fELF"u8) || head.Length < 20)
        {
            return null;
        }
        ReadOnlySpan<byte> number = head[18..];
        return (head[5] == 1 ? BinaryPrimitives.ReadUInt16LittleEndian(number)
            : BinaryPrimitives.ReadUInt16BigEndian(number)) switch
        {
            3 => nameof(Architecture.X86),
            40 => nameof(Architecture.Arm),
            62 => nameof(Architecture.X64),
            183 => nameof(Architecture.Arm64),
            ushort other => $"processor {other}",
        };
    }

    private static string? OfPe(ReadOnlySpan<byte> head)
    {
        if (!head.StartsWith("MZ"u8) || head.Length < 64)
        {
            return null;
        }
        uint at = BinaryPrimitives.ReadUInt32LittleEndian(head[60..]);
        if (at > head.Length - 6 || !head[(int)at..].StartsWith("PE\0\0"u8))
        {
            return null;
        }
        return BinaryPrimitives.ReadUInt16LittleEndian(head[((int)at + 4)..]) switch
        {
            0x14c => nameof(Architecture.X86),
            0x1c4 => nameof(Architecture.Arm),
            0x8664 => nameof(Architecture.X64),
            0xaa64 => nameof(Architecture.Arm64),
            ushort other => $"processor {other}",
        };
    }

    private static string? Mismatch(nint library, uint abiVersion)
    {
        if (!SharedLibrary.TryExport(library, "commbox_abi_version", out nint function))
        {
            return "not a library of CommBox: it has no commbox_abi_version";
        }
        uint found = ((delegate* unmanaged[Cdecl]<uint>)function)();
        if (found != abiVersion)
        {
            return $"its binary interface (ABI) has version {found}, this assembly needs version {abiVersion}; "
                + "take both from the same release";
        }
        string? missing = Native.Functions.FirstOrDefault(name => !SharedLibrary.TryExport(library, name, out _));
        return missing is null
            ? null
            : $"it has no {missing}, so it is older than this assembly; take both from the same release";
    }
}
