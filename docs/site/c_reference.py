"""Makes the reference for C from include/commbox.h: a section for each function, in its order."""

from __future__ import annotations

import re

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
    text = whole_rows(stripped(comment))
    text, *tags = re.split(r"^@", text, flags=re.MULTILINE)
    parts = [text.rstrip()]
    parameters = []
    for tag in tags:
        kind, _, rest = tag.rstrip().partition(" ")
        if kind == "param":
            name, _, rest = rest.strip().partition(" ")
            first, *table = re.split(r"\n\n(?=\|)", rest.strip())
            parameters.append(f"- `{name}`: {flowing(first)}")
            parameters += [f"\n{rows}\n" for rows in table]
        elif kind == "return":
            parts += parameters and ["**Parameters**", "\n".join(parameters)]
            parameters = []
            parts.append(f"**Returns** {flowing(rest)}")
        else:
            parts += parameters and ["**Parameters**", "\n".join(parameters)]
            parameters = []
            parts.append(f"**{kind.capitalize()}** {flowing(rest)}")
    parts += parameters and ["**Parameters**", "\n".join(parameters)]
    return linked("\n\n".join(parts), functions) + "\n"


def whole_rows(text: str) -> str:
    """Puts the rows of tables on one line each."""
    lines: list[str] = []
    for line in text.splitlines():
        if (
            lines
            and lines[-1].startswith("|")
            and not lines[-1].endswith("|")
            and line.startswith("  ")
        ):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def flowing(text: str) -> str:
    """The text of a tag, whose lines are indented to a column; a list in it stays a list."""
    lines = [line.strip() for line in text.splitlines()]
    items = re.split(r"\n(?=- )", "\n".join(lines))
    first, *rest = (" ".join(item.split()) for item in items)
    return first + ("\n\n" + "\n".join(f"  {item}" for item in rest) + "\n" if rest else "")


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
