"""Makes the reference for C from include/commbox.h: a section for each function, in its order."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packaging"))
import c_header  # noqa: E402

DECLARATION = re.compile(
    r"/\*\*\n(?P<doc>.*?)\n \*/\n"
    r"(?:#define (?P<constant>\w+) (?P<value>-?\d+)"
    r"|typedef struct (?P<type>\w+) \w+;"
    r"|(?P<prototype>[a-z][^;#{}]*?\b(?P<function>commbox_\w+)\([^;]*;))",
    re.DOTALL,
)


def page(header: str) -> str:
    """The page in Markdown."""
    opening = re.match(r"/\*\n(.*?)\n \*/", header, re.DOTALL)
    if opening is None:
        raise SystemExit("include/commbox.h has no opening comment")
    found = list(DECLARATION.finditer(header))
    functions = [match["function"] for match in found if match["function"]]
    if len(functions) < 30:
        raise SystemExit(f"include/commbox.h seems to have {len(functions)} functions")
    parts = ["# C reference\n", f"```text\n{stripped(opening[1])}\n```\n", "## Constants\n"]
    parts += [
        f"**`{match['constant']}`** = {match['value']}\n\n{body(match['doc'], functions)}\n"
        for match in found
        if match["constant"]
    ]
    parts.append("## Types\n")
    parts += [
        f"**`{match['type']}`**\n\n{body(match['doc'], functions)}\n"
        for match in found
        if match["type"]
    ]
    parts.append("## Functions\n")
    parts += [
        f"### {match['function']}\n\n```c\n{match['prototype']}\n```\n\n"
        f"{body(match['doc'], functions)}\n"
        for match in found
        if match["function"]
    ]
    return "\n".join(parts)


def stripped(comment: str) -> str:
    """A comment without its stars."""
    return "\n".join(re.sub(r"^ \* ?", "", line) for line in comment.splitlines()).strip("\n")


def body(comment: str, functions: list[str]) -> str:
    """The documentation of a declaration, whose tags become lists."""
    doc = c_header.documented(comment)
    parts = [markdown(doc.blocks)]
    if doc.parameters:
        rows = (f"- `{name}`: {text}" for name, text in doc.parameters.items())
        parts += ["**Parameters**", "\n".join(rows)]
    if doc.returns:
        parts.append(f"**Returns** {markdown(doc.returns)}")
    if doc.since:
        parts.append(f"**Since** {doc.since}")
    return linked("\n\n".join(parts), functions) + "\n"


def markdown(blocks: list[list[str]]) -> str:
    """Paragraphs with an empty line between them; the items of a list, and the rows of a table,
    follow each other."""
    text, before = "", ""
    for block in blocks:
        kind = block[0][:2] if c_header.is_item(block) else ""
        text += ("\n" if kind and kind == before else "\n\n") * bool(text) + " ".join(block)
        before = kind
    return text


def linked(text: str, functions: list[str]) -> str:
    """Functions that are named become links, and constants code. What is code already stays."""
    parts = re.split(r"(`[^`\n]*`)", text)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"#(COMMBOX_\w+)", r"`\1`", parts[index])
        parts[index] = re.sub(
            r"\b(commbox_\w+)\(\)",
            lambda match: (
                f"[`{match[1]}()`](#{match[1]})" if match[1] in functions else f"`{match[0]}`"
            ),
            parts[index],
        )
        parts[index] = re.sub(r"<(\w+)>", r"&lt;\1&gt;", parts[index])
    return "".join(parts)
