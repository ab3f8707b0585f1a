"""Lists the components of this library from `cargo metadata`: writes notices and a bill of
materials, and checks the policy.

components.py notices   writes THIRD-PARTY.txt, the licence texts that must be shipped with the
                        library, and that of the command
components.py sbom TRIPLE UNWINDER [PACKAGE]
                        prints a CycloneDX bill of materials of the library, or of another package,
                        for a target; UNWINDER is the library that the linker adds for it:
                        llvm-libunwind or libgcc
components.py check     checks both against the dependencies, and the Rust versions that the
                        library's dependencies require against ours
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from targets import TARGETS

ROOT = Path(__file__).resolve().parent.parent
LIBRARY, COMMAND = "commbox", "commbox-cli"
NOTICES = {
    LIBRARY: ROOT / "packaging/THIRD-PARTY.txt",
    COMMAND: ROOT / "packaging/THIRD-PARTY-command.txt",
}
UNWINDERS = {
    "llvm-libunwind": "Apache-2.0 WITH LLVM-exception",
    "libgcc": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
RULE = "-" * 80

# If a crate is available under several licences, only the text of this one is needed.
PREFERRED = "LICENSE-MIT"
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|copyright)([-._].*)?", re.IGNORECASE)

Package = dict[str, Any]


def cargo(*arguments: str) -> str:
    command = [os.environ.get("CARGO", "cargo"), *arguments, "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def metadata() -> dict[str, Any]:
    return json.loads(cargo("metadata", "--format-version=1"))


def shipped(packages: list[Package], what: str) -> list[Package]:
    """Returns the crates that become part of a package on any platform; for the command, on the
    platforms that it is shipped for.
    """
    if what == LIBRARY:
        return linked(packages, "all", what)
    of_each = (linked(packages, target.triple, what) for target in TARGETS)
    found = {package["id"]: package for those in of_each for package in those}
    return sorted(found.values(), key=lambda package: (package["name"], package["version"]))


def linked(packages: list[Package], target: str, what: str) -> list[Package]:
    """Returns the crates that become part of a package. Metadata would include those that only
    tests and build scripts use.
    """
    tree = cargo(
        "tree",
        f"--package={what}",
        "--edges=normal,no-proc-macro",
        f"--target={target}",
        "--prefix=none",
        "--format={p}",
    )
    names = {tuple(line.split(" ")[:2]) for line in tree.splitlines() if line}
    found = [
        package for package in packages if (package["name"], f"v{package['version']}") in names
    ]
    assert len(found) == len(names), "cargo tree and cargo metadata name the same packages"
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def licence_texts(package: Package) -> list[str]:
    folder = Path(package["manifest_path"]).parent
    preferred = folder / PREFERRED
    files = [preferred] if preferred.is_file() else sorted(folder.rglob("*"))
    texts = [
        file.read_text() for file in files if LICENCE_FILE.fullmatch(file.name) and file.is_file()
    ]
    if not texts:
        raise SystemExit(f"{package['name']} {package['version']} brings no licence text")
    return ["\n".join(line.rstrip() for line in text.strip("\n").splitlines()) for text in texts]


def notices(packages: list[Package], what: str) -> str:
    """Returns each licence text once, with all crates it applies to. The texts cover every
    platform, because the same file is shipped with each.
    """
    crates: dict[str, list[str]] = {}
    for package in shipped(packages, what):
        if package["source"]:
            for text in dict.fromkeys(licence_texts(package)):
                crates.setdefault(text, []).append(f"{package['name']} {package['version']}")
    parts = [f"{', '.join(names)}\n\n{text}\n" for text, names in crates.items()]
    parts.append((ROOT / "packaging/rust-std.txt").read_text())
    name = "library" if what == LIBRARY else "command"
    head = (
        f"The commbox {name} contains the following software of others, under the licences given.\n"
    )
    return "".join(f"{part}\n{RULE}\n" for part in [head, *parts])


def sbom(data: dict[str, Any], target: str, unwinder_name: str, what: str = LIBRARY) -> str:
    """Returns a bill of materials in CycloneDX 1.5. The same sources give the same text: it has no
    serial number, and the time is SOURCE_DATE_EPOCH.
    """
    packages = linked(data["packages"], target, what)
    references = {
        package["id"]: f"pkg:cargo/{package['name']}@{package['version']}" for package in packages
    }
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock}

    def component(package: Package) -> dict[str, Any]:
        reference = references[package["id"]]
        described = {
            "type": "library",
            "bom-ref": reference,
            "name": package["name"],
            "version": package["version"],
            "description": package["description"].strip(),
            "licenses": [{"expression": package["license"].replace("/", " OR ")}],
            "purl": reference,
        }
        if checksum := checksums[package["name"], package["version"]]:
            described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return described

    def dependencies(node: dict[str, Any]) -> dict[str, Any]:
        normal = [
            dep["pkg"]
            for dep in node["deps"]
            if any(kind["kind"] is None for kind in dep["dep_kinds"])
        ]
        return {
            "ref": references[node["id"]],
            "dependsOn": sorted(references[name] for name in set(normal) if name in references),
        }

    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", 0))
    rust = subprocess.run(
        [os.environ.get("RUSTC", "rustc"), "--version"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()[1]
    std = {
        "type": "library",
        "bom-ref": "rust-std",
        "name": "rust-std",
        "version": rust,
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }
    # The unwinder of the linker that builds releases.
    unwinder = {
        "type": "library",
        "bom-ref": unwinder_name,
        "name": unwinder_name,
        "licenses": [{"expression": UNWINDERS[unwinder_name]}],
    }
    (root,) = (package for package in packages if package["name"] == what)
    nodes = sorted(
        (node for node in data["resolve"]["nodes"] if node["id"] in references),
        key=lambda node: node["id"],
    )
    graph = [dependencies(node) for node in nodes]
    for node in graph:
        node["dependsOn"].append("rust-std")
    graph += [
        {"ref": "rust-std", "dependsOn": [unwinder_name]},
        {"ref": unwinder_name, "dependsOn": []},
    ]
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(root),
        },
        "components": [
            *(component(package) for package in packages if package is not root),
            std,
            unwinder,
        ],
        "dependencies": graph,
    }
    return json.dumps(bill, indent=2) + "\n"


def built_from(data: dict[str, Any]) -> list[Package]:
    """Returns all crates except those that only tests use: the oldest supported Rust need not build
    those.
    """
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    found, waiting = set(), [data["resolve"]["root"]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            deps = nodes[name]["deps"]
            waiting += [
                dep["pkg"]
                for dep in deps
                if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])
            ]
    return [package for package in data["packages"] if package["id"] in found]


def check(data: dict[str, Any]) -> list[str]:
    """Returns the files that are stale, and the crates that require a newer Rust than this crate
    declares.
    """
    found = []
    for what, file in NOTICES.items():
        if not file.is_file() or file.read_text() != notices(data["packages"], what):
            name = file.relative_to(ROOT)
            found.append(
                f"{name}: the dependencies have changed; run packaging/components.py notices"
            )

    def version(package: Package) -> list[int]:
        parts = [int(part) for part in (package["rust_version"] or "0").split(".")]
        return [*parts, 0, 0][:3]

    packages = built_from(data)
    (root,) = (package for package in packages if not package["source"])
    for package in packages:
        if version(package) > version(root):
            needs, ours = package["rust_version"], root["rust_version"]
            found.append(
                f"{package['name']} {package['version']} needs Rust {needs}, "
                f"and Cargo.toml says {ours}"
            )
    return found


def main() -> int:
    command, *rest = sys.argv[1:] or [None]
    if command == "sbom" and len(rest) in (2, 3) and rest[1] in UNWINDERS:
        print(sbom(metadata(), *rest), end="")
    elif rest:
        print(__doc__, file=sys.stderr)
        return 2
    elif command == "notices":
        packages = metadata()["packages"]
        for what, file in NOTICES.items():
            file.write_text(notices(packages, what))
    elif command == "check":
        found = check(metadata())
        print("".join(f"{line}\n" for line in found), end="", file=sys.stderr)
        return int(bool(found))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
