"""Makes the reference for C# from the XML that the compiler writes next to the assemblies."""

from __future__ import annotations

import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Optional

PROJECTS = ("CommBox", "CommBox.Extensions.Hosting")

TITLES = {"param": "Parameters", "typeparam": "Type parameters", "exception": "Exceptions"}


def page(root: Path, dotnet: str | None) -> str:
    """The page in Markdown; without the .NET SDK it says that there is none."""
    if dotnet is None:
        return "# C# reference\n\nNot built: there was no .NET SDK.\n"
    parts = ["# C# reference\n"]
    for project in PROJECTS:
        folder = root / "bindings/csharp" / project
        command = [
            dotnet,
            "build",
            str(folder),
            "-f",
            "net8.0",
            "-nologo",
            "-clp:NoSummary",
            "-v:quiet",
        ]
        environment = {**os.environ, "DOTNET_CLI_TELEMETRY_OPTOUT": "1", "DOTNET_NOLOGO": "1"}
        subprocess.run(command, check=True, env=environment)
        written = folder / "bin/Debug/net8.0" / f"{project}.xml"
        listed = [folder / f"PublicAPI.{state}.txt" for state in ("Shipped", "Unshipped")]
        lines = "\n".join(file.read_text(encoding="utf-8-sig") for file in listed).splitlines()
        parts.append(
            assembly(ElementTree.parse(written).getroot(), {declared(line) for line in lines})
        )
    return "\n".join(parts)


# A member's name, and how many parameters it has; none if it is not called.
Declared = tuple[str, Optional[int]]


def declared(line: str) -> Declared:
    """A member as a line of the public interface has it: `static A.B.C(int d) -> void`."""
    line = re.sub(r"^(?:(?:static|override|virtual|abstract|const|readonly) )+", "", line)
    name, bracket, parameters = line.partition(" -> ")[0].partition("(")
    if bracket:
        return re.sub(r"<\w+>$", "", name), count(parameters.rpartition(")")[0])
    return re.sub(r"\.(?:get|set|init)$", "", name.partition(" = ")[0]), None


def documented(name: str) -> Declared:
    """A member as the compiler names it: `M:A.B.C(System.Int32)`."""
    full, bracket, parameters = name[2:].partition("(")
    full = re.sub(r"`+\d+", "", full)
    if full.endswith(".#ctor"):
        full = f"{full[:-6]}.{full[:-6].rpartition('.')[2]}"
    is_called = name.startswith("M:")
    return full, count(parameters.partition(")")[0] if bracket else "") if is_called else None


def count(parameters: str) -> int:
    """How many parameters a list has; commas inside of types separate none."""
    while parameters != (flat := re.sub(r"[<{\[][^<>{}\[\]]*[>}\]]", "", parameters)):
        parameters = flat
    return parameters.count(",") + 1 if parameters.strip() else 0


def assembly(documentation: ElementTree.Element, public: set[Declared]) -> str:
    """The public types of an assembly, and their public members."""
    found = {member.get("name", ""): member for member in documentation.iter("member")}
    members = {name: member for name, member in found.items() if documented(name) in public}
    types = [name for name in members if name.startswith("T:")]
    parts = []
    for name in types:
        own = name[2:]
        parts.append(f"## {own.rpartition('.')[2]}\n\n{described(members[name])}\n")
        for other, member in members.items():
            if other[:2] != "T:" and owner(other) == own:
                parts.append(f"**`{signature(other)}`**\n\n{described(member)}\n")
    if not parts:
        raise SystemExit("the compiler documented no type")
    return "\n".join(parts)


def owner(name: str) -> str:
    """The type of a member."""
    return name[2:].partition("(")[0].rpartition(".")[0]


def signature(name: str) -> str:
    """A member as a program writes it: `UpdateUser(Int64, UserInfo)`."""
    full, bracket, parameters = name[2:].partition("(")
    member = full.rpartition(".")[2]
    if member.startswith("#ctor"):
        member = owner(name).rpartition(".")[2]
    member = re.sub(r"``\d+", "", member)
    if not bracket and name[0] == "M":
        return f"{member}()"
    return member + (
        f"({short(parameters[:-1] if parameters.endswith(')') else parameters)})" if bracket else ""
    )


def short(types: str) -> str:
    """Types without their namespaces."""
    types = re.sub(r"(?:\w+\.)+(\w+)", r"\1", types.partition(")~")[0])
    return types.replace("{", "<").replace("}", ">").replace(",", ", ").replace("@", "")


def described(member: ElementTree.Element) -> str:
    """The documentation of a type or a member."""
    parts = [text_of(child) for child in member if child.tag in ("summary", "remarks")]
    if member.find("inheritdoc") is not None:
        parts.append("As in the interface.")
    for tag, title in TITLES.items():
        rows = [
            f"- `{child.get('name') or short(child.get('cref', '')[2:])}`: {text_of(child)}"
            for child in member.findall(tag)
        ]
        parts += [f"**{title}**", "\n".join(rows)] if rows else []
    returns = member.find("returns")
    if returns is not None:
        parts.append(f"**Returns** {text_of(returns)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def text_of(element: ElementTree.Element) -> str:
    """The text of an element, with code as code."""
    parts = [escaped(element.text)]
    for child in element:
        if child.tag in ("see", "seealso"):
            name = child.get("langword") or short(child.get("cref", "")[2:].partition("(")[0])
            parts.append(f"`{re.sub('``[0-9]+', '', name)}`" if name else text_of(child))
        elif child.tag in ("paramref", "typeparamref"):
            parts.append(f"`{child.get('name')}`")
        elif child.tag == "c":
            parts.append(f"`{''.join(child.itertext())}`")
        elif child.tag == "code":
            parts.append(f"\n\n```csharp\n{''.join(child.itertext()).strip()}\n```\n\n")
        elif child.tag == "para":
            parts.append(f"\n\n{text_of(child)}\n\n")
        else:
            parts.append(text_of(child))
        parts.append(escaped(child.tail))
    joined = "".join(parts)
    if "```" in joined or "\n\n" in joined:
        return joined.strip()
    return " ".join(joined.split())


def escaped(text: str | None) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*_<>\[\]])", r"\\\1", re.sub(r"\s+", " ", text)) if text else ""
