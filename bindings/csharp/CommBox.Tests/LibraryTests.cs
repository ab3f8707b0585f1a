using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Text.RegularExpressions;

namespace CommBox.Tests;

/// <summary>Finding the native library, and what is said where it cannot be used.</summary>
public sealed class LibraryTests
{
    private static readonly string Header = File.ReadAllText(Repository.PathOf("include", "commbox.h"));

    /// <summary>The library that the other tests use.</summary>
    private static readonly string Library =
        Environment.GetEnvironmentVariable(LibraryLoader.Variable)
        ?? LibraryLoader.Candidates().First(path => NativeLibrary.TryLoad(path, out _));

    [Test]
    public void AllMissingFilesAreReported()
    {
        string message = Failure("/no/such/libcommbox.so", "libno-such-commbox.so");
        Assert.That(message, Does.Contain("/no/such/libcommbox.so: no such file"));
        Assert.That(message, Does.Contain("libno-such-commbox.so: ").And.Contain(LibraryLoader.Variable));
    }

    [Test]
    public void FileThatIsNotALibraryIsReported()
    {
        string header = Repository.PathOf("include", "commbox.h");
        Assert.That(Failure(header), Does.Match(Regex.Escape(header) + ": .+"));
    }

    [Test]
    public void UnrelatedLibraryIsReported()
    {
        string other = Path.Combine(
            RuntimeEnvironment.GetRuntimeDirectory(),
            OperatingSystem.IsWindows() ? "System.IO.Compression.Native.dll"
            : OperatingSystem.IsMacOS() ? "libSystem.Native.dylib"
            : "libSystem.Native.so");
        Assert.That(Failure(other), Does.Contain($"{other}: not a library of CommBox"));
    }

    [Test]
    public void OtherAbiVersionIsReportedWithBothVersions()
    {
        var error = Assert.Throws<DllNotFoundException>(() => LibraryLoader.Load([Library], abiVersion: 99))!;
        Assert.That(error.Message, Does.Contain($"{Library}: its binary interface (ABI) has version 1"));
        Assert.That(error.Message, Does.Contain("needs version 99"));
    }

    [Test]
    public void LibraryForAnotherProcessorIsReported()
    {
        byte[] bytes = File.ReadAllBytes(Library);
        bool elf = bytes.AsSpan().StartsWith("\u007fELF"u8);
        if (!elf && !bytes.AsSpan().StartsWith("MZ"u8))
        {
            Assert.Pass("macOS tells this by itself.");
        }
        bool intel = RuntimeInformation.ProcessArchitecture == Architecture.X64;
        int at = elf ? 18 : BitConverter.ToInt32(bytes, 60) + 4;
        ushort turned = elf ? (ushort)(intel ? 183 : 62) : (ushort)(intel ? 0xaa64 : 0x8664);
        BitConverter.TryWriteBytes(bytes.AsSpan(at), turned);
        string other = Path.GetTempFileName();
        File.WriteAllBytes(other, bytes);
        string message = Failure(other);
        File.Delete(other);
        string architectures = intel ? "for Arm64, this process for X64" : "for X64, this process for Arm64";
        Assert.That(message, Does.Contain($"{other}: it is {architectures}; take the library of this platform"));
    }

    [TestCase("unsigned commbox_abi_version(void) { return 0; }", "(ABI) has version 0, this assembly needs version 1")]
    [TestCase("unsigned commbox_abi_version(void) { return 2; }", "(ABI) has version 2, this assembly needs version 1")]
    [TestCase("unsigned commbox_abi_version(void) { return 1; }", "it has no commbox_version, so it is older")]
    public void LibraryOfAnotherReleaseIsReported(string code, string why)
    {
        string folder = Directory.CreateTempSubdirectory("commbox").FullName;
        string source = Path.Combine(folder, "other.c");
        string library = Path.Combine(folder, "libother.so");
        File.WriteAllText(source, code);
        using (Process compiler = Process.Start("cc", ["-shared", "-fPIC", "-o", library, source]))
        {
            compiler.WaitForExit();
        }
        string message = Failure(library);
        Directory.Delete(folder, recursive: true);
        Assert.That(message, Does.Contain($"{library}: ").And.Contain(why).And.Contain("take both from the same release"));
    }

    [Test]
    public void FirstUsableLibraryIsLoadedAndABrokenNamedOneIsReported()
    {
        string[] candidates = ["/no/such/libcommbox.so", Library];
        using var variable = new EnvironmentVariable(LibraryLoader.Variable, candidates[0]);
        using var words = new StringWriter();
        using var listener = new TextWriterTraceListener(words);
        Trace.Listeners.Add(listener);
        nint library = LibraryLoader.Load(candidates, LibraryLoader.AbiVersion);
        Trace.Listeners.Remove(listener);
        Assert.That(library, Is.Not.Zero);
        Assert.That(words.ToString(), Does.Contain($"uses {Library}, since this failed: {candidates[0]}: no such file"));
        NativeLibrary.Free(library);
    }

    [Test]
    public void SearchOrderIsEnvironmentThenAssemblyFolderThenSystem()
    {
        using var variable = new EnvironmentVariable(LibraryLoader.Variable, "chosen/library");
        string[] places = [.. LibraryLoader.Candidates()];
        Assert.That(places[0], Is.EqualTo(Path.GetFullPath("chosen/library")));
        Assert.That(places[1], Does.StartWith(AppContext.BaseDirectory));
        Assert.That(places, Has.Some.Contains(Path.Combine("runtimes", RuntimeInformation.RuntimeIdentifier, "native")));
        Assert.That(places, Is.Unique);
        Assert.That(places[^1], Is.EqualTo(Path.GetFileName(places[^1])));
    }

    /// <summary>A single file with the library inside, notebooks and hosts of plugins find it in their own way.</summary>
    [Test]
    public void DotNetsOwnSearchComesLast()
    {
        var context = new Plugin { Library = Library };
        nint library = LoadIn(context, ["/no/such/libcommbox.so"]);
        Assert.That(library, Is.Not.Zero);
        NativeLibrary.Free(library);
        Assert.That(context.Asked, Is.EqualTo(1));
        if (!OperatingSystem.IsWindows()) // It finds by its bare name what any test has loaded.
        {
            var error = Assert.Throws<DllNotFoundException>(() => LoadIn(new Plugin(), ["/no/such/libcommbox.so"]))!;
            Assert.That(error.Message, Does.Contain("/no/such/libcommbox.so: no such file\n"));
            Assert.That(error.Message, Does.Match("commbox, as .NET looks for it: .+"));
        }
    }

    [Test]
    public void ResolverOfTheApplicationIsUsed()
    {
        Assembly assembly = new Plugin().LoadFromAssemblyPath(typeof(CommBoxClient).Assembly.Location);
        int asked = 0;
        NativeLibrary.SetDllImportResolver(assembly, (name, _, _) =>
        {
            asked++;
            return NativeLibrary.Load(Library);
        });
        Type client = assembly.GetType(typeof(CommBoxClient).FullName!)!;
        using (var made = (IDisposable)Activator.CreateInstance(client, "key", null)!)
        {
            Assert.That(asked, Is.Positive);
        }
    }

    [Test]
    public void LibraryIsSearchedElsewhereIfTheResolverDoesNotFindIt()
    {
        Assembly assembly = new Plugin().LoadFromAssemblyPath(typeof(CommBoxClient).Assembly.Location);
        var asked = new List<string>();
        NativeLibrary.SetDllImportResolver(assembly, (name, _, _) =>
        {
            asked.Add(name);
            return 0;
        });
        using var variable = new EnvironmentVariable(LibraryLoader.Variable, Library);
        Type client = assembly.GetType(typeof(CommBoxClient).FullName!)!;
        ((IDisposable)Activator.CreateInstance(client, "key", null)!).Dispose();
        Assert.That(asked, Does.Contain(DotNetSearch.Name));
    }

    /// <summary>Hosts of plugins take an assembly away while they run.</summary>
    [Test]
    public void PluginContextCanBeUnloaded()
    {
        WeakReference context = UseInPlugin();
        for (int turn = 0; turn < 200 && context.IsAlive; turn++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            Thread.Sleep(50);
        }
        Assert.That(context.IsAlive, Is.False);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference UseInPlugin()
    {
        var context = new AssemblyLoadContext(name: null, isCollectible: true);
        Assembly assembly = context.LoadFromAssemblyPath(typeof(CommBoxClient).Assembly.Location);
        Type type = assembly.GetType(typeof(CommBoxClient).FullName!)!;
        object client = Activator.CreateInstance(type, "key", null)!;
        type.GetMethod(nameof(CommBoxClient.ValidateUserJson))!.Invoke(client, [1L, "{}"]);
        ((IDisposable)client).Dispose();
        context.Unload();
        return new WeakReference(context);
    }

    [TestCase("", "DllNotFoundException without a message")]
    [TestCase("\n \r\n", "DllNotFoundException without a message")]
    [TestCase("advice\r\nthe system's words\r\n", "the system's words")]
    public void SystemMessageComesLast(string message, string words) =>
        Assert.That(LibraryLoader.SystemsWords(new DllNotFoundException(message)), Is.EqualTo(words));

    [Test]
    public void LibraryIsNotSearchedInTheCurrentDirectory()
    {
        Assert.That(
            typeof(Native).Assembly.GetCustomAttribute<DefaultDllImportSearchPathsAttribute>()!.Paths,
            Is.EqualTo(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories));
    }

    /// <summary>Calls the loader of another copy of the assembly.</summary>
    private static nint LoadIn(Plugin context, string[] candidates)
    {
        Assembly assembly = context.LoadFromAssemblyPath(typeof(CommBoxClient).Assembly.Location);
        MethodInfo load = assembly.GetType(typeof(LibraryLoader).FullName!)!
            .GetMethod(
                nameof(LibraryLoader.Load),
                BindingFlags.Static | BindingFlags.NonPublic,
                [typeof(IEnumerable<string>), typeof(uint), typeof(bool)])!;
        return (nint)load.Invoke(
            null, BindingFlags.DoNotWrapExceptions, null, [candidates, LibraryLoader.AbiVersion, true], null)!;
    }

    /// <summary>A host that finds native libraries itself.</summary>
    private sealed class Plugin() : AssemblyLoadContext(name: null, isCollectible: false)
    {
        internal string? Library { get; init; }

        internal int Asked { get; private set; }

        protected override nint LoadUnmanagedDll(string unmanagedDllName)
        {
            if (!unmanagedDllName.StartsWith("commbox", StringComparison.Ordinal))
            {
                return 0;
            }
            Asked++;
            return Library is null ? 0 : LoadUnmanagedDllFromPath(Library);
        }
    }

    /// <summary>Windows does not tell CommBox.dll, the assembly, from commbox.dll.</summary>
    [Test]
    public void AssemblyIsNotMistakenForTheLibrary()
    {
        string assembly = typeof(CommBoxClient).Assembly.Location;
        string[] places = [.. LibraryLoader.Candidates()];
        Assert.That(places, Has.None.EqualTo(assembly).IgnoreCase);
        Assert.That(places.Any(place => Path.GetFileName(place) == "commbox_native.dll"), Is.EqualTo(OperatingSystem.IsWindows()));
    }

    [Test]
    public void EveryFunctionOfTheHeaderIsDeclaredAndExported()
    {
        string code = Regex.Replace(Header, @"/\*.*?\*/", "", RegexOptions.Singleline);
        Assert.That(
            Native.Functions,
            Is.EquivalentTo(Regex.Matches(code, @"\bcommbox_\w+(?=\()").Select(match => match.Value)));
        nint library = NativeLibrary.Load(Library);
        Assert.That(Native.Functions.Where(name => !NativeLibrary.TryGetExport(library, name, out _)), Is.Empty);
        NativeLibrary.Free(library);
    }

    [Test]
    public unsafe void VersionsMatchTheLibrary()
    {
        Assert.That(Header, Does.Contain($"#define COMMBOX_ABI_VERSION {LibraryLoader.AbiVersion}\n"));
        Assert.That(Native.AbiVersion(), Is.EqualTo(LibraryLoader.AbiVersion));
        string assembly = typeof(CommBoxClient).Assembly
            .GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
        // The commit may follow the version.
        Assert.That(Utf8.Decode(Native.Version()), Is.EqualTo(assembly.Split('+')[0]));
    }

    private static string Failure(params string[] candidates) =>
        Assert.Throws<DllNotFoundException>(() => LibraryLoader.Load(candidates, LibraryLoader.AbiVersion))!.Message;
}
