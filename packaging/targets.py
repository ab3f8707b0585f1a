"""The platforms of a release, in one table for `make dist` and the tests of each platform."""

from __future__ import annotations

from dataclasses import dataclass

ZIG, MINGW = "zig", "mingw"


@dataclass(frozen=True)
class Target:
    """One platform."""

    # .NET's name, which archives and the NuGet package use too.
    rid: str
    # Rust's name.
    triple: str
    # The linker: zig through cargo-zigbuild, or mingw-w64.
    linker: str
    # Python's name, in the name of the wheel.
    wheel: str
    # The oldest supported C library, as zig expects it after the triple.
    libc: str = ""

    @property
    def system(self) -> str:
        return self.rid.split("-")[0]

    @property
    def is_musl(self) -> bool:
        return "-musl" in self.rid

    @property
    def is_windows(self) -> bool:
        return self.system == "win"

    @property
    def is_mac(self) -> bool:
        return self.system == "osx"

    @property
    def shared(self) -> str:
        """The file name of the shared library that cargo builds."""
        return {"win": "commbox.dll", "osx": "libcommbox.dylib"}.get(self.system, "libcommbox.so")

    @property
    def command(self) -> str:
        """The file name of the command."""
        return "commbox.exe" if self.is_windows else "commbox"

    @property
    def packaged(self) -> str:
        """The file name in the NuGet package. On Windows CommBox.dll is the assembly, and file
        names are case-insensitive.
        """
        return "commbox_native.dll" if self.is_windows else self.shared

    @property
    def static(self) -> str:
        return "libcommbox.a"

    @property
    def private(self) -> list[str]:
        """The libraries that programs with the static library must also link: `cargo rustc --
        --print native-static-libs`.
        """
        if self.is_windows:
            return WINDOWS_LIBRARIES
        if self.is_mac:
            return ["iconv", "m"]
        return ["util", "rt", "pthread", "m", "dl"]

    @property
    def frameworks(self) -> list[str]:
        return ["Security", "CoreFoundation"] if self.is_mac else []


WINDOWS_LIBRARIES = [
    "ws2_32",
    "winhttp",
    "crypt32",
    "bcrypt",
    "userenv",
    "ntdll",
    "synchronization",
    "advapi32",
]

# In the order of the table in docs/install.md.
TARGETS = [
    Target("linux-x64", "x86_64-unknown-linux-gnu", ZIG, "manylinux_2_17_x86_64", libc=".2.17"),
    Target("linux-arm64", "aarch64-unknown-linux-gnu", ZIG, "manylinux_2_17_aarch64", libc=".2.17"),
    Target("linux-musl-x64", "x86_64-unknown-linux-musl", ZIG, "musllinux_1_2_x86_64"),
    Target("linux-musl-arm64", "aarch64-unknown-linux-musl", ZIG, "musllinux_1_2_aarch64"),
    Target("win-x64", "x86_64-pc-windows-gnu", MINGW, "win_amd64"),
    Target("win-arm64", "aarch64-pc-windows-gnullvm", ZIG, "win_arm64"),
    Target("win-x86", "i686-pc-windows-gnu", MINGW, "win32"),
    Target("osx-arm64", "aarch64-apple-darwin", ZIG, "macosx_11_0_arm64"),
    Target("osx-x64", "x86_64-apple-darwin", ZIG, "macosx_10_12_x86_64"),
]


def find(rid: str) -> Target:
    for target in TARGETS:
        if target.rid == rid:
            return target
    raise SystemExit(
        f"unknown target {rid!r}; known: {', '.join(target.rid for target in TARGETS)}"
    )
