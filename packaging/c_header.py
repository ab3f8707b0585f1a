"""Reads the functions, the constants and the documentation of include/commbox.h."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


class ManualError(Exception):
    """The header or an example does not have the form that the manual pages need."""


@dataclass
class Documented:
    """A comment of the header: its blocks of text, and the text of its tags."""

    blocks: list[list[str]] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    returns: list[list[str]] = field(default_factory=list)
    since: str = ""

    @property
    def summary(self) -> str:
        """Returns the first sentence, without text after a comma or in brackets."""
        first = " ".join(self.blocks[0])
        return re.split(r"[.:](?:\s|$)|[,(]", first, maxsplit=1)[0].strip()


@dataclass
class Function:
    name: str
    returns: str
    parameters: list[str]
    doc: Documented


def blocks(lines: list[str]) -> list[list[str]]:
    """Returns paragraphs, list items and rows of tables, each as its lines without the indent."""
    found: list[list[str]] = []
    is_new = True
    for line in lines:
        text = line.strip()
        if not text:
            is_new = True
            continue
        starts_item = text.startswith(("- ", "| "))
        # A paragraph may follow a list without an empty line: it is indented less.
        if is_new or starts_item or (found and is_item(found[-1]) and not line.startswith("  ")):
            found.append([])
        found[-1].append(text)
        is_new = False
    return found


def is_item(block: list[str]) -> bool:
    return block[0].startswith(("- ", "| "))


def documented(comment: str) -> Documented:
    lines = [re.sub(r"^ \* ?", "", line) for line in comment.split("\n")]
    doc, tagged = Documented(), [("", [])]
    for line in lines:
        tag = re.match(r"@(param \w+|return|since)\s+(.*)", line)
        if tag:
            tagged.append((tag[1], [tag[2]]))
        else:
            tagged[-1][1].append(line)
    for tag, text in tagged:
        if not tag:
            doc.blocks = blocks(text)
        elif tag == "return":
            # Lists within it are indented relative to its text.
            rest = [line[8:] for line in text[1:]]
            doc.returns = blocks([text[0], *rest])
        elif tag == "since":
            doc.since = " ".join(text).strip()
        else:
            doc.parameters[tag.removeprefix("param ")] = " ".join(" ".join(text).split())
    return doc


def split(parameters: str) -> list[str]:
    """Splits at commas that are not in brackets."""
    found, depth = [""], 0
    for character in parameters:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return [text.strip() for text in found]


def read_functions(header: str) -> list[Function]:
    found = []
    declared = r"/\*\*\n((?: \*[^\n]*\n)+?) \*/\n(\w[^;{#]*?\b(commbox_\w+)\([^;]*\));"
    for comment, declaration, name in re.findall(declared, header):
        head, parameters = " ".join(declaration.split()).removesuffix(")").split("(", 1)
        doc = documented(comment.rstrip("\n"))
        found.append(Function(name, head.removesuffix(name).strip(), split(parameters), doc))
        named = [
            re.sub(r".*\(\*(\w+)\)\(.*|.*?(\w+)$", r"\1\2", text) for text in found[-1].parameters
        ]
        if not doc.since or (named != ["void"] and named != list(doc.parameters)):
            raise ManualError(f"{name} needs a @param for each of {named}, and a @since")
    return found


def read_constants(header: str) -> dict[str, str]:
    """Returns the constants with their values and texts: `{"COMMBOX_TIMEOUT -7": "The deadline was
    exceeded."}`.
    """
    found = re.findall(r"/\*\*\n((?: \*[^\n]*\n)+?) \*/\n#define (COMMBOX_\w+ -?\d+)\n", header)
    return {
        name: " ".join(" ".join(blocks_of) for blocks_of in documented(text).blocks)
        for text, name in found
    }


def read_opening(header: str) -> dict[str, str]:
    """Returns the paragraphs of the header's first comment that have a title."""
    opening = header.split("*/", 1)[0]
    found = re.findall(r"^ \* ([A-Z][a-z]+) {2,}(.*(?:\n \* {8,}.*)*)", opening, re.MULTILINE)
    # The last paragraph is about versions, which a page covers in AVAILABILITY.
    return {
        title: " ".join(re.sub(r"\n \*", " ", text).split())
        for title, text in found
        if title != "Versions"
    }
