"""Builds a release, with the same bytes each time. `make dist` runs it.

dist.py [--profile PROFILE] [--targets RID,…] FOLDER

For each target: an archive for C and C++, a wheel, a bill of materials. For all of them: the NuGet
package, the sources, the source distribution for Python, SHA256SUMS. The exports and imports of
every library are checked before it is packed.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import binaries
import toolchain
from targets import TARGETS, ZIG, Target, find

ROOT, BUILT = toolchain.ROOT, toolchain.BUILT
PACKAGING = ROOT / "packaging"
CSHARP = ROOT / "bindings/csharp/CommBox"


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct"))
MANIFEST = (ROOT / "Cargo.toml").read_text()
VERSION = re.findall(r'^version = "(.*)"$', MANIFEST, re.M)[0]
LIBRARY_VERSION = re.findall(
    r'^\[package.metadata.capi.library\]\nversion = "(.*)"$', MANIFEST, re.M
)[0]
ABI = LIBRARY_VERSION.split(".")[0]
PACKED = f"commbox-{VERSION}"


def build(target: Target, profile: str) -> Path:
    """Builds and checks the target's libraries, and returns their folder."""
    kinds = ["--lib", "--crate-type", "cdylib,staticlib"]
    if toolchain.run(target, profile, "rustc", *kinds) != 0:
        raise SystemExit(f"{target.rid} cannot be built")
    folder = toolchain.folder(target, profile)
    binaries.check(target, folder / target.shared)
    return folder


def build_command(target: Target, profile: str) -> Path:
    """Builds and checks the target's command."""
    command = toolchain.build_command(target, profile)
    binaries.check(target, command, program=True)
    return command


def pack(folder: Path, archive: Path) -> None:
    """Packs a folder as a tar archive. Order, owners, times and modes are fixed, and gzip stores no
    name.
    """
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            info = tar.gettarinfo(path, f"{PACKED}/{path.relative_to(folder)}")
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = EPOCH
            info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            if info.isreg():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    archive.write_bytes(gzip.compress(plain.getvalue(), 9, mtime=0))


def pack_zip(folder: Path, archive: Path) -> None:
    """Packs a folder as a zip archive, which users of Windows expect."""
    time = (1980, 1, 1, 0, 0, 0)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(f"{PACKED}/{path.relative_to(folder).as_posix()}", time)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, path.read_bytes())


def fill(template: str, into: Path, **values: str) -> None:
    text = (PACKAGING / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(text)


def put(source: Path, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, into)


def import_library(target: Target, into: Path) -> None:
    """Creates commbox.lib, with which MSVC links a program to commbox.dll."""
    names = into.with_suffix(".def")
    names.write_text("LIBRARY commbox.dll\n" + toolchain.exports())
    machine = {"x64": "x64", "arm64": "arm64", "x86": "x86"}[target.rid.rsplit("-", 1)[1]]
    command = [
        toolchain.TOOLS / "bin/python",
        "-m",
        "ziglang",
        "lib",
        f"/def:{names}",
        f"/out:{into}",
    ]
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(toolchain.TOOLS / "cache")}
    subprocess.run([*command, f"/machine:{machine}"], env=environment, check=True)
    names.unlink()


def development(target: Target, built: Path, command: Path, stage: Path) -> None:
    """Lays out the files for programs in C and C++, and the command. The result works wherever it
    is unpacked.
    """
    put(command, stage / "bin" / target.command)
    (stage / "bin" / target.command).chmod(0o755)
    for name in ("commbox.h", "commbox.hpp"):
        put(ROOT / "include" / name, stage / "include" / name)
    for name in ("LICENSE", "packaging/THIRD-PARTY.txt", "packaging/THIRD-PARTY-command.txt"):
        put(ROOT / name, stage / "share/doc/commbox" / Path(name).name)
    library = stage / "lib"
    put(built / target.static, library / "libcommbox.a")
    (library / "libcommbox.a").chmod(0o644)
    cmake = library / "cmake/commbox"
    private = [*target.private, *(f"-framework {name}" for name in target.frameworks)]
    fill("commbox-config-version.cmake.in", cmake / "commbox-config-version.cmake", version=VERSION)
    if target.is_windows:
        put(built / target.shared, stage / "bin/commbox.dll")
        put(built / "libcommbox.dll.a", library / "libcommbox.dll.a")
        import_library(target, library / "commbox.lib")
        fill(
            "commbox-config-windows.cmake.in",
            cmake / "commbox-config.cmake",
            private=";".join(private),
        )
    else:
        for page in sorted((PACKAGING / "man3").glob("*.3")):
            put(page, stage / "share/man/man3" / page.name)
        real, soname, short = {
            "osx": (
                f"libcommbox.{LIBRARY_VERSION}.dylib",
                f"libcommbox.{ABI}.dylib",
                "libcommbox.dylib",
            )
        }.get(
            target.system,
            (f"libcommbox.so.{LIBRARY_VERSION}", f"libcommbox.so.{ABI}", "libcommbox.so"),
        )
        put(built / target.shared, library / real)
        (library / soname).symlink_to(real)
        (library / short).symlink_to(soname)
        fill(
            "commbox-config.cmake.in",
            cmake / "commbox-config.cmake",
            library=real,
            soname=target_soname(target, soname),
            private=";".join(private),
            libdir="../..",
            includedir="../../../include",
        )
    words = [
        *(f"-l{name}" for name in target.private),
        *(f"-framework {name}" for name in target.frameworks),
    ]
    fill(
        "commbox.pc.in", library / "pkgconfig/commbox.pc", prefix="${pcfiledir}/../..",
        libdir="${prefix}/lib", includedir="${prefix}/include", version=VERSION,
        private=" ".join(words),
    )  # fmt: skip


def target_soname(target: Target, soname: str) -> str:
    return f"@rpath/{soname}" if target.is_mac else soname


def python(*arguments: str | Path, **variables: str) -> bytes:
    """Runs Python in the environment with the build tools, which `make` has set up."""
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }
    command = [BUILT / "venv/bin/python", *arguments]
    folder = ROOT / "bindings/python"
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE
    ).stdout


def wheel(target: Target, library: Path, command: Path, folder: Path) -> None:
    ready = {"COMMBOX_READY_LIBRARY": str(library), "COMMBOX_READY_PLATFORM": target.wheel}
    ready["COMMBOX_READY_COMMAND"] = str(command)
    python("-m", "hatchling", "build", "-t", "wheel", "-d", folder, **ready)


def nuget(runtimes: Path, folder: Path) -> None:
    """Builds the package for .NET with the libraries of all targets, the one for hosted services,
    and their symbols.
    """
    dotnet = os.environ.get("DOTNET", "dotnet")
    if shutil.which(dotnet) is None:
        print(f"The NuGet package is left out: no {dotnet} is found.", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as made:
        # With CI set, the assemblies contain no path of this machine.
        environment = {**os.environ, "CI": "true", "DOTNET_CLI_UI_LANGUAGE": "en"}
        for package in ("CommBox", "CommBox.Extensions.Hosting"):
            project = CSHARP.with_name(package)
            command = [
                dotnet,
                "pack",
                project,
                "-c",
                "Release",
                f"-p:CommBoxRuntimes={runtimes}",
                "-o",
                made,
            ]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise SystemExit(done.stdout)
            for ending in ("nupkg", "snupkg"):
                name = f"{package}.{VERSION}.{ending}"
                repack(Path(made) / name, folder / name)


def repack(package: Path, into: Path) -> None:
    """Repacks a package with fixed times, order and names, because NuGet chooses the name of one
    part at random.
    """
    with zipfile.ZipFile(package) as given:
        parts = {name: given.read(name) for name in given.namelist()}
    drawn = [name for name in parts if name.endswith(".psmdcp")]
    for name in drawn:
        fixed = "package/services/metadata/core-properties/commbox.psmdcp"
        parts[fixed] = parts.pop(name)
        relations = parts["_rels/.rels"].decode().replace(name, fixed)
        # The identifiers of relations are random too.
        pieces = re.split(r'Id="[^"]*"', relations)
        numbered = (
            "".join(f'{piece}Id="R{number}"' for number, piece in enumerate(pieces[:-1], 1))
            + pieces[-1]
        )
        parts["_rels/.rels"] = numbered.encode()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        # The list of content types must be the first entry.
        for name in sorted(parts, key=lambda name: (name != "[Content_Types].xml", name)):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, parts[name])


def bill(target: Target, folder: Path) -> None:
    rustc = toolchain.environment(target).get("RUSTC", "rustc")
    unwinder = "llvm-libunwind" if target.linker == ZIG else "libgcc"
    for package in ("commbox", "commbox-cli"):
        text = python(
            PACKAGING / "components.py", "sbom", target.triple, unwinder, package, RUSTC=rustc
        )
        (folder / f"{package}-{VERSION}-{target.rid}.cdx.json").write_bytes(text)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", default="release")
    parser.add_argument("--targets", default=",".join(target.rid for target in TARGETS))
    parser.add_argument("--without-nuget", action="store_true")
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    targets = [find(rid) for rid in chosen.targets.split(",")]
    folder = chosen.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    source = git("archive", f"--prefix={PACKED}/", "HEAD")
    (folder / f"{PACKED}-source.tar.gz").write_bytes(gzip.compress(source, 9, mtime=0))
    with tempfile.TemporaryDirectory() as made:
        stage = Path(made)
        for target in targets:
            built = build(target, chosen.profile)
            command = build_command(target, chosen.profile)
            development(target, built, command, stage / target.rid)
            ending = "zip" if target.is_windows else "tar.gz"
            (pack_zip if target.is_windows else pack)(
                stage / target.rid, folder / f"{PACKED}-{target.rid}.{ending}"
            )
            put(built / target.shared, stage / "runtimes" / target.rid / "native" / target.packaged)
            (stage / "runtimes" / target.rid / "native" / target.packaged).chmod(0o644)
            wheel(target, built / target.shared, command, folder)
            bill(target, folder)
        if not chosen.without_nuget:
            nuget(stage / "runtimes", folder)
    python("-m", "hatchling", "build", "-t", "sdist", "-d", folder)
    for name in ("THIRD-PARTY.txt", "THIRD-PARTY-command.txt"):
        shutil.copy(PACKAGING / name, folder)
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(sums))
    for file in sorted(folder.iterdir()):
        print(f"{file.stat().st_size:>10} {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
