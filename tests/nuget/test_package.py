"""Tests the NuGet packages, used from a feed by programs in empty folders, as they are built and
published.

The package contains the library of this machine, which COMMBOX_LIBRARY names. What is published for
Windows is not run here.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CSHARP = ROOT / "bindings/csharp"
DOTNET = os.environ.get("DOTNET", "dotnet")
RID = "linux-arm64" if platform.machine() == "aarch64" else "linux-x64"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SANDBOX = os.environ.get("COMMBOX_SANDBOX") or str(TARGET / "debug/examples/sandbox")

# It uses what needs extra code in a program that is trimmed or compiled: callbacks, JSON, a batch.
PROGRAM = """
using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using CommBox;

int events = 0;
await using var client = new CommBoxClient(options: new CommBoxClientOptions
{
    Log = _ => Interlocked.Increment(ref events),
    LogLevel = CommBoxLogLevel.Trace,
});
UserInfo user = JsonSerializer.Deserialize(
    @"{""FirstName"":""John"",""Phone2"":null}", Generated.Default.UserInfo)!;
using var cancellation = new CancellationTokenSource(TimeSpan.FromMinutes(1));
UpdateResult result = client.UpdateUser(7, user, cancellation.Token);
await Task.WhenAll(Enumerable.Range(1, 20).Select(id => client.UpdateUserAsync(id, user)));
int confirmed = 0;
IEnumerable<UserUpdate> updates = Enumerable.Range(1, 20).Select(id => new UserUpdate(id, user));
await foreach (CommBoxBatchResult each in client.UpdateUsersAsync(updates))
{
    confirmed += each.IsSuccess ? 1 : 0;
}
try
{
    client.UpdateUser(7, new UserInfo { FirstName = new string('x', 101) });
}
catch (CommBoxValidationException error)
{
    Console.WriteLine(error.Message);
}
string logged = events > 0 ? "logged" : "no log";
Console.WriteLine($"user {result.Id} is updated, and {confirmed} more; {logged}");

[System.Text.Json.Serialization.JsonSerializable(typeof(UserInfo))]
internal sealed partial class Generated : System.Text.Json.Serialization.JsonSerializerContext;
"""

PROJECT = """<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>{framework}</TargetFramework>
    <LangVersion>latest</LangVersion>
    <Nullable>enable</Nullable>
    <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
    <InvariantGlobalization>true</InvariantGlobalization>
    <RestoreAdditionalProjectSources>$(RestoreAdditionalProjectSources);{feed}</RestoreAdditionalProjectSources>
  </PropertyGroup>
  <ItemGroup><PackageReference Include="CommBox" Version="{version}" /></ItemGroup>
</Project>
"""


def run(*command: str | Path, folder: Path, timeout: float = 600, **variables: str) -> str:
    environment = {**os.environ, "DOTNET_NOLOGO": "1", "DOTNET_CLI_UI_LANGUAGE": "en", **variables}
    # The program is to find the library that the package brought.
    environment.pop("COMMBOX_LIBRARY", None)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with both packages. They are built from a copy, so that another build that
    uses the usual folders does not interfere.
    """
    folder = tmp_path_factory.mktemp("package")
    sources = folder / "bindings/csharp"
    projects = ("CommBox", "CommBox.Extensions.Hosting")
    for project in projects:
        shutil.copytree(
            CSHARP / project,
            sources / project,
            ignore=shutil.ignore_patterns("bin", "obj", "runtimes"),
        )
    for name in ("Directory.Build.props", "Directory.Build.targets", "icon.png"):
        shutil.copy(CSHARP / name, sources)
    (folder / "packaging").mkdir()
    shutil.copy(ROOT / "packaging/THIRD-PARTY.txt", folder / "packaging")
    shutil.copy(ROOT / "LICENSE", folder)
    runtimes = folder / "runtimes"
    for rid, name in (
        (RID, "libcommbox.so"),
        ("win-x64", "commbox_native.dll"),
        ("win-x86", "commbox_native.dll"),
    ):
        (runtimes / rid / "native").mkdir(parents=True)
        (runtimes / rid / "native" / name).write_bytes(b"for another machine")
    library = os.environ.get("COMMBOX_LIBRARY") or TARGET / "release/libcommbox.so"
    shutil.copy(library, runtimes / RID / "native/libcommbox.so")
    for project in projects:
        pack = [
            DOTNET,
            "pack",
            project,
            "-c",
            "Release",
            f"-p:CommBoxRuntimes={runtimes}",
            "-o",
            folder / "feed",
        ]
        run(*pack, folder=sources)
    return folder / "feed"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns the folder into which packages are unpacked, apart from those of the same version
    that were built before.
    """
    return str(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    process = subprocess.Popen([SANDBOX], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.wait()


class Program:
    """A program in a folder of its own, with a reference to the package."""

    def __init__(
        self, folder: Path, framework: str, feed: Path, packages: str, server: str
    ) -> None:
        self.folder, self.packages, self.server = folder, packages, server
        (package,) = feed.glob("CommBox.[0-9]*.nupkg")
        version = package.name.removeprefix("CommBox.").removesuffix(".nupkg")
        (folder / "Program.csproj").write_text(
            PROJECT.format(framework=framework, feed=feed, version=version)
        )
        (folder / "Program.cs").write_text(PROGRAM)

    def dotnet(self, *words: str) -> Path:
        """Builds or publishes the program; returns where it is."""
        run(DOTNET, *words, "-o", "out", folder=self.folder, NUGET_PACKAGES=self.packages)
        return self.folder / "out"

    def updates(self, *command: str | Path) -> None:
        """Runs the program where nothing else is."""
        variables = {"COMMBOX_BASE_URL": self.server, "COMMBOX_API_KEY": "sandbox-key"}
        try:
            told = run(*command, folder=Path("/"), timeout=120, **variables)
        except subprocess.TimeoutExpired as error:
            # Mono 6.8 can hang when a program ends: it waits for a lock that it holds while a
            # native thread on which it ran a callback exits. What the program printed counts.
            assert command[0] == "mono", error
            told = (error.stdout or b"").decode()
        assert "user 7 is updated, and 20 more; logged" in told, told
        assert "FirstName is 101 characters long" in told, told


Make = Callable[[str], Program]


@pytest.fixture
def make(tmp_path: Path, feed: Path, packages: str, server: str) -> Make:
    return lambda framework: Program(tmp_path, framework, feed, packages, server)


def test_the_package_is_complete(feed: Path) -> None:
    (package,) = feed.glob("CommBox.[0-9]*.nupkg")
    (symbols,) = feed.glob("CommBox.[0-9]*.snupkg")
    with zipfile.ZipFile(package) as packed:
        names = packed.namelist()
        readme = packed.read("README.md").decode()
        nuspec = packed.read("CommBox.nuspec").decode()
    for name in (
        *(
            f"lib/{target}/CommBox.{ending}"
            for target in ("net8.0", "netstandard2.0")
            for ending in ("dll", "xml")
        ),
        *(f"{folder}/net462/CommBox.targets" for folder in ("build", "buildTransitive")),
        "icon.png",
        "LICENSE",
        "THIRD-PARTY.txt",
    ):
        assert name in names, name
    # It speaks of what is in the package, not of a checkout.
    assert "checkout" not in readme and "make " not in readme and "](" not in readme
    assert '<group targetFramework="net8.0" />' in nuspec, "it has no dependencies there"
    assert (
        "<projectUrl>" in nuspec and "<repository " in nuspec and "<icon>icon.png</icon>" in nuspec
    )
    with zipfile.ZipFile(symbols) as packed:
        assert {"lib/net8.0/CommBox.pdb", "lib/netstandard2.0/CommBox.pdb"} <= set(
            packed.namelist()
        )


def test_net8(make: Make) -> None:
    program = make("net8.0")
    out = program.dotnet("build", "-p:RollForward=Major")
    assert (out / f"runtimes/{RID}/native/libcommbox.so").is_file()
    program.updates(DOTNET, out / "Program.dll")


@pytest.mark.skipif(shutil.which("mono") is None, reason="mono is not installed")
def test_net_framework(make: Make) -> None:
    program = make("net472")
    out = program.dotnet("build")
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {
        f"runtimes/{RID}/native/libcommbox.so",
        "runtimes/win-x64/native/commbox_native.dll",
    } <= there
    program.updates("mono", out / "Program.exe")
    shutil.rmtree(out)
    out = program.dotnet("build", "-p:CommBoxNativeLibraries=false")
    assert not (out / "runtimes").exists()


def test_class_library_between(make: Make, tmp_path: Path) -> None:
    """A program of .NET Framework that refers to the package through another project has the
    libraries, too.
    """
    program = make("net472")
    between = tmp_path / "between"
    between.mkdir()
    project = (tmp_path / "Program.csproj").read_text()
    (between / "Between.csproj").write_text(project.replace("<OutputType>Exe</OutputType>", ""))
    library = (
        "public static class Between "
        "{ public static object Client() => new CommBox.CommBoxClient(); }"
    )
    (between / "Between.cs").write_text(library)
    start, end = project.index("  <ItemGroup>"), project.index("</Project>")
    items = '<ProjectReference Include="between/Between.csproj" /><Compile Include="Program.cs" />'
    own = "<EnableDefaultCompileItems>false</EnableDefaultCompileItems>"
    project = f"{project[:start]}  <ItemGroup>{items}</ItemGroup>\n{project[end:]}"
    (tmp_path / "Program.csproj").write_text(project.replace("<OutputType>", f"{own}<OutputType>"))
    (tmp_path / "Program.cs").write_text("System.Console.WriteLine(Between.Client());")
    out = program.dotnet("build")
    assert (out / f"runtimes/{RID}/native/libcommbox.so").is_file()


def test_compiled_ahead_of_time(make: Make) -> None:
    program = make("net10.0")
    out = program.dotnet("publish", "-r", RID, "-p:PublishAot=true")
    assert not (out / "CommBox.dll").exists() and (out / "libcommbox.so").is_file()
    program.updates(out / "Program")


def test_trimmed(make: Make) -> None:
    program = make("net10.0")
    out = program.dotnet("publish", "-r", RID, "--self-contained", "-p:PublishTrimmed=true")
    program.updates(out / "Program")


def test_single_file_with_the_library_beside(make: Make) -> None:
    program = make("net10.0")
    out = program.dotnet("publish", "-r", RID, "--self-contained", "-p:PublishSingleFile=true")
    assert {path.name for path in out.iterdir()} - {"Program.pdb"} == {"Program", "libcommbox.so"}
    program.updates(out / "Program")


def test_single_file_with_the_library_inside(make: Make, tmp_path: Path) -> None:
    program = make("net10.0")
    inside = "-p:IncludeNativeLibrariesForSelfExtract=true"
    out = program.dotnet(
        "publish", "-r", RID, "--self-contained", "-p:PublishSingleFile=true", inside
    )
    assert {path.name for path in out.iterdir()} - {"Program.pdb"} == {"Program"}
    program.updates(
        "env", f"DOTNET_BUNDLE_EXTRACT_BASE_DIR={tmp_path / 'extracted'}", out / "Program"
    )


def test_for_windows(make: Make) -> None:
    out = make("net10.0").dotnet("publish", "-r", "win-x64", "--self-contained", "false")
    assert {"Program.exe", "CommBox.dll", "commbox_native.dll"} <= {
        path.name for path in out.iterdir()
    }


def test_the_hosting_package_is_complete(feed: Path) -> None:
    name = "CommBox.Extensions.Hosting"
    (package,) = feed.glob(f"{name}.*.nupkg")
    (base,) = feed.glob("CommBox.[0-9]*.nupkg")
    assert package.name.removeprefix(name) == base.name.removeprefix("CommBox"), (
        "both have one version"
    )
    with zipfile.ZipFile(package) as packed:
        names = packed.namelist()
        readme = packed.read("README.md").decode()
        nuspec = packed.read(f"{name}.nuspec").decode()
    assert {f"lib/{target}/{name}.dll" for target in ("net8.0", "netstandard2.0")} <= set(names)
    assert (
        "](" not in readme
        and '<dependency id="CommBox"' in nuspec
        and "<icon>icon.png</icon>" in nuspec
    )


def test_service_compiled_ahead_of_time(make: Make) -> None:
    """The first program of the page for services; its settings are bound and checked there, too."""
    program = make("net10.0")
    _, _, rest = (ROOT / "docs/services.md").read_text().partition("```csharp\n")
    (program.folder / "Program.cs").write_text(rest.partition("```")[0])
    project = program.folder / "Program.csproj"
    hosting = '<PackageReference Include="Microsoft.Extensions.Hosting" Version="8.0.1" />'
    text = project.read_text().replace('"CommBox"', '"CommBox.Extensions.Hosting"')
    text = text.replace("<ItemGroup>", f"<ItemGroup>{hosting}")
    project.write_text(
        text.replace("<Nullable>", "<ImplicitUsings>enable</ImplicitUsings><Nullable>")
    )
    out = program.dotnet("publish", "-r", RID, "-p:PublishAot=true")
    settings = {
        "COMMBOX_BASE_URL": program.server,
        "CommBox__ApiKey": "sandbox-key",
        "CommBox__Timeout": "00:01:00",
    }
    assert "Application is shutting down" in run(out / "Program", folder=Path("/"), **settings)
    with pytest.raises(
        AssertionError, match='CommBox:MaxRetrys is an unknown setting; did you mean "MaxRetries"'
    ):
        run(out / "Program", folder=Path("/"), CommBox__MaxRetrys="1", **settings)
