"""Reads the exports and imports of shared libraries and programs: ELF, PE and Mach-O files.

binaries.py check RID FILE   reports what is wrong with a library that was built for a target
"""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

from targets import Target, find

HEADER = Path(__file__).resolve().parent.parent / "include/commbox.h"

# The libraries that every system of the kind has.
SYSTEM = {
    "linux": {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1",
              "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"},
    "musl": {"libc.so"},
    "win": {"kernel32.dll", "ntdll.dll", "ws2_32.dll", "winhttp.dll", "crypt32.dll", "bcrypt.dll",
            "advapi32.dll", "userenv.dll", "msvcrt.dll", "bcryptprimitives.dll",
            "api-ms-win-core-synch-l1-2-0.dll"},
    "osx": {"/usr/lib/libSystem.B.dylib", "/usr/lib/libiconv.2.dylib",
            "/usr/lib/libcharset.1.dylib",
            "/System/Library/Frameworks/Security.framework/Versions/A/Security",
            "/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation"},
}  # fmt: skip

# The libraries that only the command needs: for the width of a terminal, and for Windows' folders.
PROGRAMS = {
    "linux": set(),
    "win": {"shell32.dll", "user32.dll", "ole32.dll"},
    "osx": set(),
}

MACHINES = {
    "x64": {"elf": 62, "pe": 0x8664, "mach": 0x01000007},
    "arm64": {"elf": 183, "pe": 0xAA64, "mach": 0x0100000C},
    "x86": {"pe": 0x14C},
}


class Binary:
    """A shared library: its machine, exports and imports."""

    def __init__(self, path: Path) -> None:
        self.bytes = path.read_bytes()
        self.machine = 0
        self.exports: set[str] = set()
        self.libraries: set[str] = set()
        self.versions: set[str] = set()
        if self.bytes[:4] == b"\x7fELF":
            self.kind = "elf"
            self.read_elf()
        elif self.bytes[:2] == b"MZ":
            self.kind = "pe"
            self.read_pe()
        elif self.bytes[:4] == b"\xcf\xfa\xed\xfe":
            self.kind = "mach"
            self.read_mach()
        else:
            raise SystemExit(f"{path} is no shared library")

    def unpack(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from("<" + form, self.bytes, at)

    def text(self, at: int) -> str:
        return self.bytes[at : self.bytes.index(b"\0", at)].decode()

    def read_elf(self) -> None:
        (self.machine,) = self.unpack("H", 18)
        (table,) = self.unpack("Q", 40)
        size, count = self.unpack("HH", 58)
        sections = [self.unpack("IIQQQQIIQQ", table + size * number) for number in range(count)]
        for _, kind, _, _, at, length, link, _, _, _ in sections:
            strings = sections[link][4] if link < count else 0
            if kind == 11:  # SHT_DYNSYM
                for entry in range(at + 24, at + length, 24):
                    name, info, _, section = self.unpack("IBBH", entry)
                    if section != 0 and info >> 4 == 1:
                        self.exports.add(self.text(strings + name))
            elif kind == 6:  # SHT_DYNAMIC
                for entry in range(at, at + length, 16):
                    tag, value = self.unpack("QQ", entry)
                    if tag == 1:
                        self.libraries.add(self.text(strings + value))
        self.versions = {
            version.decode() for version in re.findall(rb"\0GLIBC_(2\.\d+)", self.bytes)
        }

    def read_pe(self) -> None:
        (at,) = self.unpack("I", 60)
        self.machine, count = self.unpack("HH", at + 4)
        (optional,) = self.unpack("H", at + 20)
        (magic,) = self.unpack("H", at + 24)
        directories = at + 24 + (112 if magic == 0x20B else 96)
        sections = [
            self.unpack("IIII", at + 24 + optional + 40 * number + 8) for number in range(count)
        ]

        def place(address: int) -> int:
            for size, start, raw, offset in sections:
                if start <= address < start + max(size, raw):
                    return address - start + offset
            raise SystemExit("an address of the library lies in no section")

        exports, _, imports, _ = self.unpack("IIII", directories)
        if exports:
            names, where = (
                self.unpack("I", place(exports) + 24)[0],
                self.unpack("I", place(exports) + 32)[0],
            )
            pointers = [self.unpack("I", place(where) + 4 * number)[0] for number in range(names)]
            self.exports = {self.text(place(pointer)) for pointer in pointers}
        entry = place(imports) if imports else 0
        while imports and self.unpack("I", entry + 12)[0]:
            self.libraries.add(self.text(place(self.unpack("I", entry + 12)[0])).lower())
            entry += 20

    def read_mach(self) -> None:
        (self.machine,) = self.unpack("I", 4)
        (count,) = self.unpack("I", 16)
        at = 32
        for _ in range(count):
            command, size = self.unpack("II", at)
            if command & 0x7FFFFFFF in (0xC, 0x18):  # LC_LOAD_DYLIB, LC_LOAD_WEAK_DYLIB
                self.libraries.add(self.text(at + self.unpack("I", at + 8)[0]))
            elif command == 2:  # LC_SYMTAB
                symbols, number, strings, _ = self.unpack("IIII", at + 8)
                for entry in range(symbols, symbols + 16 * number, 16):
                    name, kind = self.unpack("IB", entry)
                    if kind & 0xE0 == 0 and kind & 1 and kind & 0xE != 0 and not kind & 0x10:
                        self.exports.add(self.text(strings + name).removeprefix("_"))
            at += size


def declared() -> set[str]:
    """Returns the functions that the header declares."""
    code = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    return set(re.findall(r"\b(commbox_\w+)(?=\()", code))


def problems(target: Target, binary: Binary, program: bool = False) -> list[str]:
    """Returns the problems of a library or program. A program's exports are not checked."""
    found = []
    processor = target.rid.rsplit("-", 1)[1]
    if binary.machine != MACHINES[processor].get(binary.kind):
        found.append(f"it is for machine {binary.machine:#x}")
    # zig's linker for macOS cannot hide names.
    foreign = set() if target.is_mac else binary.exports - declared()
    for name in [] if program else sorted(declared() - binary.exports | foreign):
        found.append(
            f"{name} is {'exported, and not in' if name in binary.exports else 'in'} the header"
        )
    system = SYSTEM["musl" if target.is_musl else target.system] | (
        PROGRAMS[target.system] if program else set()
    )
    # With newer compilers, the C runtime of Windows is one of its API sets.
    libraries = {
        name for name in binary.libraries - system if not name.startswith("api-ms-win-crt-")
    }
    if libraries:
        found.append(f"it needs {', '.join(sorted(libraries))}")
    newest = max((int(version.split(".")[1]) for version in binary.versions), default=0)
    if newest > 17:
        found.append(f"it needs glibc 2.{newest}")
    return found


def check(target: Target, path: Path, program: bool = False) -> None:
    found = problems(target, Binary(path), program)
    if found:
        raise SystemExit("\n".join(f"{path}: {problem}" for problem in found))


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] != "check":
        raise SystemExit(__doc__)
    check(find(sys.argv[2]), Path(sys.argv[3]))
