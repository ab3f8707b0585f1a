"""Makes the reference for C# from the XML that the compiler writes next to the assemblies."""

from __future__ import annotations

import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

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
        parts.append(assembly(ElementTree.parse(written).getroot()))
    return "\n".join(parts)


def assembly(documentation: ElementTree.Element) -> str:
    members = {member.get("name", ""): member for member in documentation.iter("member")}
    types = [name for name in members if name.startswith("T:")]
    parts = []
    for name in types:
        own = name[2:]
        parts.append(f"## {own.removeprefix('CommBox.')}\n\n{described(members[name])}\n")
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
