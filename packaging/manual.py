"""Writes the manual pages of the C functions, packaging/man3/*.3, from include/commbox.h.

manual.py         writes the pages, and removes those of functions that no longer exist
manual.py check   fails if a page differs from what the header and the examples give

The pages are committed, so that `make install` needs neither Python nor Rust. A function's EXAMPLES
section is the program in packaging/man3/examples whose first comment names the function.
"""

from __future__ import annotations

import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "include/commbox.h"
PAGES = ROOT / "packaging/man3"
EXAMPLES = PAGES / "examples"

# The date of the last change to the header's documentation, which each page shows.
DATE = "November 30, 2026"

# The groups of functions in the overview. A function belongs to the first group that has a
# prefix of its name.
GROUPS = {
    "Clients": ("commbox_client_", "commbox_update_"),
    "Options": ("commbox_options_",),
    "Users": ("commbox_user_",),
    "Batches": ("commbox_batch_",),
    "Errors, text and versions": ("commbox_",),
}

ENVIRONMENT = {
    ("COMMBOX_API_KEY",): "The API key of a client that is created without one.",
    ("COMMBOX_BASE_URL",): "The default of the option `base_url`.",
    ("SSL_CERT_FILE", "SSL_CERT_DIR"): "Certificates to trust instead of those of the system's trust store.",
    ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"): (
        "The proxy, if the option `proxy` is null: the first of these that is set and not empty."
    ),
    ("http_proxy", "ALL_PROXY", "all_proxy"): (
        "The same for `http`. Without `allow_http`, the proxy is used only if it is on loopback."
    ),
    ("NO_PROXY", "no_proxy"): "Hosts, domains and IP addresses that are reached without a proxy, separated by commas.",
}


class ManualError(Exception):
    """The header or an example does not have the form that this script expects."""


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
        named = [re.sub(r".*\(\*(\w+)\)\(.*|.*?(\w+)$", r"\1\2", text) for text in found[-1].parameters]
        if not doc.since or (named != ["void"] and named != list(doc.parameters)):
            raise ManualError(f"{name} needs a @param for each of {named}, and a @since")
    return found


def read_constants(header: str) -> dict[str, str]:
    """Returns the constants with their values and texts: `{"COMMBOX_TIMEOUT -7": "The deadline was
    exceeded."}`.
    """
    found = re.findall(r"/\*\*\n((?: \*[^\n]*\n)+?) \*/\n#define (COMMBOX_\w+ -?\d+)\n", header)
    return {name: " ".join(" ".join(blocks_of) for blocks_of in documented(text).blocks) for text, name in found}


def read_opening(header: str) -> dict[str, str]:
    """Returns the paragraphs of the header's first comment that have a title."""
    opening = header.split("*/", 1)[0]
    found = re.findall(r"^ \* ([A-Z][a-z]+) {2,}(.*(?:\n \* {8,}.*)*)", opening, re.MULTILINE)
    # The last paragraph is about versions, which a page covers in AVAILABILITY.
    return {title: " ".join(re.sub(r"\n \*", " ", text).split()) for title, text in found if title != "Versions"}


def read_examples() -> dict[str, str]:
    """Returns the example program of each function."""
    found: dict[str, str] = {}
    for path in sorted(EXAMPLES.glob("*.c")):
        names, program = path.read_text(encoding="utf-8").removeprefix("/* ").split(" */\n", 1)
        for name in names.replace("\n", " ").split(", "):
            if name.strip() in found or f"{name.strip()}(" not in program:
                raise ManualError(f"{path.name}: {name.strip()} has another example, or is not called in this one")
            found[name.strip()] = program
    return found


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


MARKED = re.compile(r"`([^`]*)`|#?\b(COMMBOX_[A-Z_]+)\b|\b(commbox_\w+|free|fork|sigwait)\(\)")
SECTIONS = {"free": "3", "fork": "2", "sigwait": "3"}


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
            lines.append(f".It Li {' , '.join(argument(name) for name in re.findall(r'`([^`]+)`', term))}")
        lines.extend(marked_up(capital(meaning) + ("" if meaning.endswith(".") else "."), page))
    return [*lines, ".El"]


def body(parts: list[list[str]], page: str) -> list[str]:
    """Returns the blocks of a comment in mdoc."""
    lines: list[str] = []
    at = 0
    while at < len(parts):
        kind = parts[at][0][:2]
        if kind in ("- ", "| "):
            end = next((i for i in range(at, len(parts)) if not parts[i][0].startswith(kind)), len(parts))
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


def synopsis(function: Function) -> list[str]:
    lines = [f".Ft {argument(function.returns)}"]
    return [*lines, f".Fn {function.name} {' '.join(argument(text) for text in function.parameters)}"]


def literal(program: str) -> list[str]:
    lines = [escaped(line) for line in program.strip("\n").split("\n")]
    return [".Bd -literal", *(f"\\&{line}" if line.startswith(".") else line for line in lines), ".Ed"]


def heading(name: str, about: str) -> list[str]:
    return [
        '.\\" Written by packaging/manual.py from include/commbox.h: change src/ffi.',
        f".Dd {DATE}",
        f".Dt {name.upper()} 3",
        ".Os",
        ".Sh NAME",
        f".Nm {name}",
        f".Nd {prose(about)}",
        ".Sh SYNOPSIS",
        ".In commbox.h",
    ]


def imperative(summary: str) -> str:
    """Converts a summary to the form of manual pages: `Creates a client` to `create a client`."""
    verb, rest = summary.replace("`", "").split(" ", 1)
    if not verb.endswith("s"):
        raise ManualError(f"the first word of {summary!r} is not what the function does")
    return f"{verb.lower().removesuffix('s')} {rest}"


def see_also(function: Function, examples: dict[str, str]) -> list[str]:
    """Returns the overview page, and the functions that the comment or the example names."""
    text = str(function.doc) + examples[function.name]
    named = {name for name in re.findall(r"\b(commbox_\w+)\(", text) if name != function.name}
    references = ["commbox", *sorted(named)]
    return [".Sh SEE ALSO", *(f".Xr {name} 3 ," for name in references[:-1]), f".Xr {references[-1]} 3"]


def page_of(function: Function, examples: dict[str, str]) -> list[str]:
    doc, name = function.doc, function.name
    if name not in examples:
        raise ManualError(f"{name} has no example: name it in the first comment of a program in {EXAMPLES}")
    lines = [*heading(name, imperative(doc.summary)), *synopsis(function), ".Sh DESCRIPTION", *body(doc.blocks, name)]
    if doc.parameters:
        lines.extend([".Ss Parameters", ".Bl -tag -width Ds"])
        for parameter, text in doc.parameters.items():
            lines.extend([f".It Fa {parameter}", *marked_up(text, name)])
        lines.append(".El")
    if doc.returns:
        lines.extend([".Sh RETURN VALUES", *body(doc.returns, name)])
    lines.extend([".Sh EXAMPLES", *literal(examples[name])])
    is_accessor = "accessor" in str(doc.blocks) or function.returns == "void"
    if not is_accessor:
        text = "If the function fails, commbox_last_error() returns a sentence about the failure."
        lines.extend([".Sh ERRORS", *marked_up(text, name)])
    lines.extend([".Sh AVAILABILITY", f"Since version {doc.since}.", *see_also(function, examples)])
    return lines


def overview(header: str, functions: list[Function]) -> list[str]:
    lines = heading("commbox", "update a customer's record in CommBox")
    groups: dict[str, list[Function]] = {title: [] for title in GROUPS}
    for function in functions:
        group = next(title for title, prefixes in GROUPS.items() if function.name.startswith(prefixes))
        groups[group].append(function)
    for title, those in groups.items():
        lines.extend([f".Ss {title}", *(line for function in those for line in synopsis(function))])

    lines.extend([".Sh DESCRIPTION", "The", ".Nm", "library updates a customer's record in CommBox:"])
    lines.extend([".Li POST /users/{USER_ID} .", "Each function has a page of its own.", "Link with", ".Fl lcommbox ."])
    for title, text in read_opening(header).items():
        lines.extend([f".Ss {title}", *marked_up(text, "")])

    lines.append(".Sh OPTIONS")
    for function in functions:
        rows = [block for block in function.doc.blocks if block[0].startswith("| `")]
        if rows:
            first = lines[-1] == ".Sh OPTIONS"
            lines.extend([*([] if first else [".Pp"]), "The options of", f".Xr {function.name} 3 :"])
            lines.extend(options(rows, ""))

    constants = read_constants(header)
    codes = {name: text for name, text in constants.items() if not re.search("DELIVERY|ABI_VERSION", name)}
    lines.extend([".Sh RETURN VALUES", "A function that returns a code returns one of these:", ".Bl -tag -width Ds"])
    for name, text in codes.items():
        constant, value = name.split()
        lines.extend([f".It Dv {constant} Pq {escaped(value)}", *marked_up(text, "")])
    lines.extend([".El", ".Pp", ".Xr commbox_last_delivery 3", "returns one of these:", ".Bl -tag -width Ds"])
    for name, text in constants.items():
        if "DELIVERY" in name:
            lines.extend([f".It Dv {name.split()[0]} Pq {name.split()[1]}", *marked_up(text, "")])
    lines.append(".El")

    lines.extend([".Sh ENVIRONMENT", ".Bl -tag -width Ds"])
    for names, text in ENVIRONMENT.items():
        lines.extend([f".It Ev {' , '.join(names)}", *marked_up(text, "")])
    lines.append(".El")

    program = (EXAMPLES / "update.c").read_text(encoding="utf-8").split(" */\n", 1)[1]
    lines.extend(
        [".Sh EXAMPLES", *literal(program), ".Pp", ".Dl cc update.c $(pkg\\-config \\-\\-cflags \\-\\-libs commbox)"]
    )
    lines.extend([".Sh AVAILABILITY", "Since version 1.0, unless the page of a function says otherwise."])
    names = sorted(function.name for function in functions)
    lines.extend([".Sh SEE ALSO", *(f".Xr {name} 3 ," for name in names[:-1]), f".Xr {names[-1]} 3"])
    return lines


def pages() -> dict[Path, str]:
    header = HEADER.read_text(encoding="utf-8")
    functions, examples = read_functions(header), read_examples()
    strangers = set(examples) - {function.name for function in functions}
    if strangers:
        raise ManualError(f"an example names {sorted(strangers)}, which the header does not declare")
    written = {function.name: page_of(function, examples) for function in functions}
    written["commbox"] = overview(header, functions)
    return {PAGES / f"{name}.3": "\n".join(lines) + "\n" for name, lines in written.items()}


def main(arguments: list[str]) -> None:
    made = pages()
    present = {path: path.read_text(encoding="utf-8") for path in PAGES.glob("*.3")}
    if arguments == ["check"]:
        stale = sorted(path.name for path in made.keys() | present if made.get(path) != present.get(path))
        if stale:
            sys.exit(f"not what the header says: {', '.join(stale)}; run python3 packaging/manual.py, and commit it")
        return
    for path in present.keys() - made:
        path.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ManualError as error:
        sys.exit(str(error))
