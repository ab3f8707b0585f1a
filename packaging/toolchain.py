"""Runs cargo for one of the targets, with the Rust and the linker that it needs.

toolchain.py prepare RID…   fetches the standard library of each target, if rustup provides it
toolchain.py RID PROFILE SUBCOMMAND [ARG…]
                            runs cargo SUBCOMMAND for the target, into TARGET/<profile>/<triple>

The standard library is that of rustup. If rustup cannot fetch it, or if COMMBOX_BUILD_STD=1 is set,
it is built from Debian's packages rustc-web and rust-web-src. `make` has installed zig and
cargo-zigbuild in TARGET/tools/zig.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from binaries import declared
from targets import MINGW, ZIG, Target, find

ROOT = Path(__file__).resolve().parent.parent
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOOLS = BUILT / "tools/zig"

# The fallback: Debian's Rust, which is allowed to build its own standard library.
DEBIAN = {"RUSTC": "/usr/bin/rustc", "RUSTC_BOOTSTRAP": "1"}
DEBIAN_SOURCE = "/usr/lib/rustlib/src/rust/library"


@cache
def installed() -> set[str]:
    if shutil.which("rustup") is None:
        return set()
    listed = subprocess.run(
        ["rustup", "target", "list", "--installed"], stdout=subprocess.PIPE, text=True
    )
    return set(listed.stdout.split())


@cache
def has_std(target: Target) -> bool:
    """Returns whether the standard library is installed or can be fetched."""
    if os.environ.get("COMMBOX_BUILD_STD"):
        return False
    if target.triple in installed():
        return True
    if shutil.which("rustup") is None:
        return False
    command = ["rustup", "target", "add", target.triple]
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def require_rust(target: Target) -> None:
    if not has_std(target) and not (
        Path(DEBIAN["RUSTC"]).is_file() and Path(DEBIAN_SOURCE).is_dir()
    ):
        raise SystemExit(
            f"no Rust for {target.triple}: rustup cannot fetch it, and Debian's packages rustc-web "
            "and rust-web-src are not installed"
        )


def c_compiler(target: Target, language: str = "cc") -> str:
    """Returns a C or C++ compiler for the target: mingw's, or a script that calls zig."""
    if target.linker == MINGW:
        machine = target.triple.split("-")[0]
        return f"{machine}-w64-mingw32-{'gcc' if language == 'cc' else 'g++-posix'}"
    system = {"linux": "linux", "win": "windows", "osx": "macos"}[target.system]
    library = {
        "linux": "musl" if target.is_musl else f"gnu{target.libc}",
        "win": "gnu",
        "osx": "none",
    }[target.system]
    folder = BUILT / "cross/compilers"
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / f"{language}-{target.rid}"
    machine = target.triple.split("-")[0]
    script.write_text(
        f"#!/bin/sh\nZIG_GLOBAL_CACHE_DIR='{TOOLS}/cache'; export ZIG_GLOBAL_CACHE_DIR\n"
        f"exec '{TOOLS}/bin/python' -m ziglang {language} -target {machine}-{system}-{library} "
        # The undefined behaviour sanitizer would require newer C libraries.
        '-fno-sanitize=all "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def exports() -> str:
    """Returns the exported names of the shared library as a module-definition file of Windows'
    linkers.
    """
    return "EXPORTS\n" + "".join(f"    {name}\n" for name in sorted(declared()))


def environment(target: Target, program: bool = False) -> dict[str, str]:
    """Returns the environment for cargo, its build scripts and the linker, for the library or a
    program.
    """
    home = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    # Keep paths of this machine out of the binaries.
    flags = [f"--remap-path-prefix={home}=/cargo", f"--remap-path-prefix={ROOT}=/commbox"]
    changes = {
        "CFLAGS": "-g0",
        "PATH": f"{TOOLS}/bin{os.pathsep}{os.environ.get('PATH', '')}",
        "ZIG_GLOBAL_CACHE_DIR": f"{TOOLS}/cache",
        "CARGO_ZIGBUILD_CACHE_DIR": f"{TOOLS}/cache",
    }
    if not has_std(target):
        changes |= DEBIAN
        flags.append(f"--remap-path-prefix={DEBIAN_SOURCE}=/rust")
    if target.is_musl and not program:
        # By default Rust cannot link shared libraries for musl.
        flags.append("-Ctarget-feature=-crt-static")
    if target.linker == MINGW:
        name = target.triple.replace("-", "_")
        changes[f"CC_{name}"] = c_compiler(target)
        changes[f"CARGO_TARGET_{name.upper()}_LINKER"] = c_compiler(target)
        flags.append("-Clink-arg=-Wl,--no-insert-timestamp")
    if target.is_windows and target.linker == ZIG and not program:
        # zig ignores the list of exports from rustc, and would export every name.
        names = BUILT / "cross/commbox.def"
        names.parent.mkdir(parents=True, exist_ok=True)
        if not names.is_file() or names.read_text() != exports():
            names.write_text(exports())
        flags.append(f"-Clink-arg={names}")
    if target.is_mac:
        changes["SDKROOT"] = str(ROOT / "packaging/macos")
    # Paths may contain spaces, at which RUSTFLAGS would be split.
    changes["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(flags)
    return changes


def cargo(target: Target, profile: str, subcommand: str, *arguments: str) -> list[str]:
    """Returns the command that runs cargo for the target."""
    require_rust(target)
    program = ["cargo-zigbuild"] if target.linker == ZIG else [os.environ.get("CARGO", "cargo")]
    std = [] if has_std(target) else ["-Zbuild-std=std,panic_unwind"]
    place = ["--target", target.triple + (target.libc if target.linker == ZIG else "")]
    return [
        *program, subcommand, "--locked", "--profile", profile, *std, *place,
        "--target-dir", str(BUILT / "cross"), *arguments,
    ]  # fmt: skip


def folder(target: Target, profile: str) -> Path:
    """Returns the folder where cargo puts its output."""
    return BUILT / "cross" / target.triple / profile


def run(
    target: Target, profile: str, subcommand: str, *arguments: str, program: bool = False
) -> int:
    command = cargo(target, profile, subcommand, *arguments)
    variables = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return subprocess.run(
        command, cwd=ROOT, env={**variables, **environment(target, program)}
    ).returncode


def build_command(target: Target, profile: str) -> Path:
    """Builds the command. It is a single file, linked statically on musl."""
    profile = "command" if profile == "release" else profile
    if run(target, profile, "build", "-p", "commbox-cli", program=True) != 0:
        raise SystemExit(f"the command cannot be built for {target.rid}")
    return folder(target, profile) / target.command


def main() -> int:
    match sys.argv[1:]:
        case ["prepare", *rids] if rids:
            for rid in rids:
                require_rust(find(rid))
            return 0
        case [rid, profile, subcommand, *arguments]:
            return run(find(rid), profile, subcommand, *arguments)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
