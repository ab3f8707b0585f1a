"""Tests the files of a release as users install them: each file is unpacked in an empty folder, and
used by a program of its platform that cannot access the checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import run as suites

sys.path.insert(0, str(suites.ROOT / "packaging"))
import toolchain  # noqa: E402
from binaries import Binary, problems  # noqa: E402
from targets import Target  # noqa: E402

ROOT, BUILT = suites.ROOT, toolchain.BUILT
CUSTOMER = "/users/94382332"


@contextmanager
def sandbox() -> Iterator[str]:
    """Runs a sandbox on this machine, and yields its address."""
    process = subprocess.Popen(
        [BUILT / "debug/examples/sandbox"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def run(command: list[str | Path], folder: Path, **more: str) -> str:
    """Returns the output of a command that runs without the project's variables."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        **more,
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300,
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def hidden(command: list[str | Path], kept: Path) -> list[str | Path]:
    """Returns the command with the checkout and the build output hidden, except for the folder of
    the emulator.
    """
    places = [
        path for path in ROOT.iterdir() if path.is_dir() and path.name not in (".git", BUILT.name)
    ]
    places += [path for path in BUILT.iterdir() if path.is_dir() and path not in kept.parents]
    mounts = (
        'while [ "$1" != -- ]; do mount -t tmpfs none "$1" || exit 3; shift; done; shift; exec "$@"'
    )
    return [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        mounts,
        "sh",
        *places,
        "--",
        *command,
    ]


class Trial:
    """Tests the release of one platform."""

    def __init__(self, target: Target, dist: Path, runner: Path, folder: Path) -> None:
        self.target, self.dist, self.runner, self.folder = target, dist, runner, folder
        (self.archive,) = dist.glob(
            f"commbox-*-{target.rid}.{'zip' if target.is_windows else 'tar.gz'}"
        )
        (self.wheel,) = dist.glob(f"*-{target.wheel}.whl")
        self.packages = list(dist.glob("CommBox.[0-9]*.nupkg"))

    def updates(self, program: list[str | Path], folder: Path, **more: str) -> None:
        """Makes an example update the customer."""
        with sandbox() as url:
            own = {"COMMBOX_BASE_URL": url, "COMMBOX_API_KEY": "sandbox-key", **more}
            run(hidden([self.runner, *program], self.runner.parent), folder, **own)
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                url + CUSTOMER
            ) as answer:
                assert json.load(answer)["data"]["FirstName"] == "John", (
                    "the customer was not updated"
                )

    def unpacked(self, name: str) -> Path:
        place = self.folder / name
        place.mkdir()
        shutil.unpack_archive(self.archive, place)
        (inner,) = place.iterdir()
        return inner

    def compile(
        self, prefix: Path, compiler: str, source: str, words: list[str | Path], name: str
    ) -> Path:
        """Compiles an example with only the archive's files."""
        place = self.folder / f"{prefix.parent.name}-{name}"
        place.mkdir()
        shutil.copy(ROOT / "examples" / source, place)
        program = place / ("program.exe" if self.target.is_windows else "program")
        run([compiler, source, f"-I{prefix}/include", *words, "-o", program.name], place)
        return program

    def flags(self, prefix: Path, *options: str) -> list[str]:
        where = {"PKG_CONFIG_LIBDIR": str(prefix / "lib/pkgconfig")}
        return run(
            ["pkg-config", "--cflags", "--libs", *options, "commbox"], prefix, **where
        ).split()

    def with_library(self, prefix: Path, program: Path) -> None:
        """Puts the shared library where the platform's loader searches: beside the program, or in a
        folder that a variable names.
        """
        if self.target.is_windows:
            shutil.copy(prefix / "bin/commbox.dll", program.parent)
        self.updates([program], program.parent, LD_LIBRARY_PATH=str(prefix / "lib"))

    def shared_library_from_c(self) -> None:
        prefix = self.unpacked("archive moved")
        moved = prefix.rename(prefix.with_name("somewhere-else"))
        # pkg-config escapes spaces in paths in its own way.
        plain = self.folder / "archive"
        moved.rename(plain)
        words = [*self.flags(plain), *(["-static-libgcc"] if self.target.is_windows else [])]
        program = self.compile(
            plain, toolchain.c_compiler(self.target), "update_user.c", words, "shared"
        )
        self.with_library(plain, program)

    def command(self) -> None:
        """Tests the command in the archive, and the one in the wheel."""
        prefix = self.folder / "archive"
        program = prefix / "bin" / self.target.command
        self.updates([program, "update", "94382332", "FirstName=John"], program.parent)
        with zipfile.ZipFile(self.wheel) as wheel:
            (script,) = (
                name
                for name in wheel.namelist()
                if name.endswith(f".data/scripts/{self.target.command}")
            )
            assert wheel.read(script) == program.read_bytes(), "the wheel has another command"

    def shared_library_from_cpp(self) -> None:
        prefix = self.folder / "archive"
        libraries = (
            [prefix / "lib/libcommbox.dll.a"]
            if self.target.is_windows
            else [f"-L{prefix}/lib", "-lcommbox"]
        )
        words = ["-std=c++17", *libraries, *(["-static"] if self.target.is_windows else [])]
        program = self.compile(
            prefix, toolchain.c_compiler(self.target, "c++"), "update_user.cpp", words, "cpp"
        )
        self.with_library(prefix, program)

    def static_library(self) -> None:
        prefix = self.folder / "archive"
        words = self.flags(prefix, "--static")
        if self.target.is_windows:
            words = ["-static", *words]
        else:
            (prefix / "lib/without").mkdir()
            for library in (prefix / "lib").glob("libcommbox.so*"):
                library.rename(prefix / "lib/without" / library.name)
            words.append("-lunwind" if self.target.is_musl else "-lgcc_s")
        program = self.compile(
            prefix, toolchain.c_compiler(self.target), "update_user.c", words, "static"
        )
        found = Binary(program).libraries
        assert not any("commbox" in name for name in found), f"it is linked with {found}"
        self.updates([program], program.parent)

    def import_library_of_msvc(self) -> None:
        """Tests the import library in MSVC's format, which mingw's linker reads too."""
        prefix = self.folder / "archive"
        words = [prefix / "lib/commbox.lib", "-static-libgcc"]
        program = self.compile(
            prefix, toolchain.c_compiler(self.target), "update_user.c", words, "msvc"
        )
        self.with_library(prefix, program)

    def library_of_wheel(self) -> None:
        """Checks the library in the wheel. Another test checks whether an interpreter accepts the
        wheel.
        """
        place = self.folder / "wheel"
        with zipfile.ZipFile(self.wheel) as wheel:
            wheel.extractall(place)
        found = problems(self.target, Binary(place / "commbox" / self.target.shared))
        assert not found, found

    def package_for_dotnet(self) -> None:
        (package,) = self.packages
        place = self.folder / "dotnet"
        place.mkdir()
        version = package.name.removeprefix("CommBox.").removesuffix(".nupkg")
        shutil.copy(ROOT / "examples/csharp/UpdateUser/Program.cs", place)
        (place / "Program.csproj").write_text(
            f"""<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <Nullable>enable</Nullable>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
    <RestoreAdditionalProjectSources>$(RestoreAdditionalProjectSources);{package.parent}</RestoreAdditionalProjectSources>
  </PropertyGroup>
  <ItemGroup><PackageReference Include="CommBox" Version="{version}" /></ItemGroup>
</Project>
"""
        )
        publish = [
            "dotnet",
            "publish",
            "-r",
            self.target.rid,
            "--self-contained",
            "-o",
            "out",
            "-c",
            "Release",
        ]
        run(publish, place, NUGET_PACKAGES=str(place / "packages"), DOTNET_CLI_TELEMETRY_OPTOUT="1")
        there = {path.name for path in (place / "out").iterdir()}
        assert {"CommBox.dll", self.target.packaged} <= there, (
            f"{self.target.packaged} is not beside the assembly"
        )
        self.updates([place / "out/Program.exe"], place / "out")

    def internet_settings(self) -> None:
        """Tests the proxy of Windows' Internet settings, with an exception."""
        prefix = self.folder / "archive"
        place = self.folder / "settings"
        place.mkdir()
        shutil.copy(ROOT / "tests/c/call_once.c", place)
        compiler = toolchain.c_compiler(self.target)
        words = [
            f"-I{prefix}/include",
            "call_once.c",
            prefix / "lib/commbox.lib",
            "-o",
            "program.exe",
        ]
        run([compiler, *words], place)
        shutil.copy(prefix / "bin/commbox.dll", place)
        options = {"allow_http": True, "max_retries": 0, "connect_timeout_ms": 5000}

        def call(host: str) -> str:
            text = json.dumps({"base_url": f"http://{host}:8080", **options})
            return run([self.runner, place / "program.exe", "key", text, "1", "{}"], place)

        key = "HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Internet Settings\\Connections"

        def settings(flags: int, *texts: str) -> None:
            """Sets what the dialog of the Internet settings sets: the flags, the proxy, the
            exceptions.
            """
            value = struct.pack("<III", 0x46, 1, flags)
            value += b"".join(
                struct.pack("<I", len(text)) + text.encode() for text in (*texts, "")
            ) + bytes(32)
            words = [
                key,
                "/v",
                "DefaultConnectionSettings",
                "/t",
                "REG_BINARY",
                "/d",
                value.hex(),
                "/f",
            ]
            run([self.runner, "reg", "add", *words], place)

        with tunnel() as (port, asked):
            proxy = (f"http=127.0.0.1:{port};https=127.0.0.1:1", "*.direct.example;<local>")
            settings(3, *proxy)
            try:
                through = call("api.example")
                assert asked == ["CONNECT api.example:8080 HTTP/1.1"], f"{asked}: {through}"
                assert "the system's Internet settings" in through, through
                call("api.direct.example")
                assert len(asked) == 1, f"an exception went through the proxy: {asked}"
            finally:
                settings(1, *proxy)
            call("api.example")
            assert len(asked) == 1, f"the proxy is not enabled: {asked}"


@contextmanager
def tunnel() -> Iterator[tuple[int, list[str]]]:
    """Runs a proxy that refuses every tunnel, and yields its port and the requests it received."""
    asked: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096).split(b"\r\n")[0].decode())
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        listener.close()


def trials(target: Target) -> list[str]:
    names = ["shared_library_from_c", "command", "shared_library_from_cpp"]
    if target.is_windows:
        names += ["import_library_of_msvc", "internet_settings", "package_for_dotnet"]
    # The static library comes last for the archive, because this test removes the shared one.
    return [*names, "static_library", "library_of_wheel"]


def attempt(target: Target, dist: Path, runner: Path) -> int:
    """Runs all tests, and ends with a summary like that of cargo's tests."""
    passed, failed = 0, 0
    with tempfile.TemporaryDirectory(prefix="commbox-") as folder:
        trial = Trial(target, dist, runner, Path(folder))
        for name in trials(target):
            try:
                getattr(trial, name)()
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"test shipped::{target.rid}::{name} ... FAILED\n{error}", flush=True)
            else:
                passed += 1
                print(f"test shipped::{target.rid}::{name} ... ok", flush=True)
    print(
        f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed", flush=True
    )
    return int(failed > 0)


if __name__ == "__main__":
    from targets import find

    sys.exit(attempt(find(sys.argv[1]), Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()))
