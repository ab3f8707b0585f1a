"""Writes the documentation of the header in mdoc, the markup of manual pages."""

from __future__ import annotations

import re
import textwrap

MARKED = re.compile(r"`([^`]*)`|#?\b(COMMBOX_[A-Z_]+)\b|\b(commbox_\w+|free|fork|sigwait)\(\)")
SECTIONS = {"free": "3", "fork": "2", "sigwait": "3"}


def escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace('"', "\\(dq").replace("-", "\\-").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti").replace("'", "\\(aq")
    return "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)


def prose(text: str) -> str:
    """Escapes the text of a sentence, so that hyphens stay hyphens."""
    return escaped(text).replace("\\-", "-").replace("\\(aq", "'")


def argument(text: str) -> str:
    text = escaped(text)
    if text.strip(".,:;()[]?!|") == "":
        return f"\\&{text}"
    return f'"{text}"' if " " in text else text


def marked_up(text: str, page: str) -> list[str]:
    """Returns a paragraph in mdoc: each sentence on its own line, and each name in its macro."""
    lines: list[str] = [""]

    def add(words: str) -> None:
        for number, sentence in enumerate(re.split(r"(?<=[.:?!])\s+(?=[A-Z\"])", words)):
            if number:
                lines.append("")
            lines[-1] += sentence

    at = 0
    for found in MARKED.finditer(text):
        before, at = text[at : found.start()], found.end()
        opening = re.search(r"[(\[]$", before)
        add(before[: opening.start()] if opening else before)
        code, constant, function = found.groups()
        if code is not None:
            macro = f"Li {argument(code)}"
        elif constant:
            macro = f"Dv {constant}"
        elif function in SECTIONS:
            macro = f"Xr {function} {SECTIONS[function]}"
        else:
            macro = f"Fn {function}" if function == page else f"Xr {function} 3"
        if opening:
            macro = macro.replace(" ", " ( ", 1)
        closing = re.match(r"[.,;:?!)\]]+", text[at:])
        if closing:
            at = found.end() + closing.end()
            macro += "".join(f" {mark}" for mark in closing[0])
        glued = re.match(r"[^\s`#]+", text[at:])
        if glued:
            at += glued.end()
            macro += f" Ns {argument(glued[0])}"
        lines[-1] = lines[-1].rstrip()
        lines.extend([f".{macro}", ""])
    add(text[at:])
    return [piece for line in lines if line.strip() for piece in as_lines(line.strip())]


def as_lines(line: str) -> list[str]:
    if line.startswith("."):
        return [line]
    pieces = textwrap.wrap(prose(line), 78, break_long_words=False, break_on_hyphens=False)
    return [f"\\&{piece}" if piece.startswith(("'", ".")) else piece for piece in pieces]


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def cells(row: list[str]) -> list[str]:
    return [cell.strip() for cell in " ".join(row).strip("| ").split(" | ")]


def option_text(row: list[str]) -> str:
    """Returns the text for a row of options: `| key | default | meaning |`, or without default."""
    _, *default, meaning = cells(row)
    text = capital(meaning) + "."
    if default:
        text += f" The default{'s are' if ', ' in cells(row)[0] else ' is'} {default[0]}."
    return text


def options(rows: list[list[str]], page: str) -> list[str]:
    lines = [".Bl -tag -width Ds"]
    for row in rows:
        keys = cells(row)[0].replace("`", "").replace(",", "").split()
        if keys[0].isdigit():
            lines.extend([f".It Level {keys[0]}", *marked_up(cells(row)[1], page)])
        else:
            lines.extend([f".It Li {' , '.join(keys)}", *marked_up(option_text(row), page)])
    return [*lines, ".El"]


def items(listed: list[list[str]], page: str) -> list[str]:
    """Returns a list. If each item starts with a term, it is a list of terms and their meanings."""
    texts = [" ".join(item).removeprefix("- ") for item in listed]
    terms = [re.match(r"((?:`[^`]+`(?:, )?)+|#COMMBOX_\w+): (.*)", text) for text in texts]
    if not all(terms):
        lines = [".Bl -bullet"]
        for text in texts:
            lines.extend([".It", *marked_up(text, page)])
        return [*lines, ".El"]
    lines = [".Bl -tag -width Ds"]
    for term, meaning in (found.groups() for found in terms if found):
        if term.startswith("#"):
            lines.append(f".It Dv {term[1:]}")
        else:
            lines.append(
                f".It Li {' , '.join(argument(name) for name in re.findall(r'`([^`]+)`', term))}"
            )
        lines.extend(marked_up(capital(meaning) + ("" if meaning.endswith(".") else "."), page))
    return [*lines, ".El"]


def body(parts: list[list[str]], page: str) -> list[str]:
    """Returns the blocks of a comment in mdoc."""
    lines: list[str] = []
    at = 0
    while at < len(parts):
        kind = parts[at][0][:2]
        if kind in ("- ", "| "):
            end = next(
                (i for i in range(at, len(parts)) if not parts[i][0].startswith(kind)), len(parts)
            )
            if kind == "- ":
                lines.extend(items(parts[at:end], page))
            else:
                # The first two rows are the column headings and a rule.
                lines.extend(options(parts[at + 2 : end], page))
            at = end
            continue
        text = " ".join(parts[at])
        titled = re.match(r"\*\*(\w+ ?\w*)\.\*\* (.*)", text)
        if titled:
            lines.append(f".Ss {capital(titled[1])}")
            text = titled[2]
        elif lines:
            lines.append(".Pp")
        lines.extend(marked_up(text, page))
        at += 1
    return lines


def literal(program: str) -> list[str]:
    lines = [escaped(line) for line in program.strip("\n").split("\n")]
    return [
        ".Bd -literal",
        *(f"\\&{line}" if line.startswith(".") else line for line in lines),
        ".Ed",
    ]
