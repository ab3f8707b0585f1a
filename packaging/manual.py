"""Writes the manual pages of the C functions, packaging/man3/*.3, from include/commbox.h.

manual.py         writes the pages, and removes those of functions that no longer exist
manual.py check   fails if a page differs from what the header and the examples give

The pages are committed, so that `make install` needs neither Python nor Rust. A function's EXAMPLES
section is the program in packaging/man3/examples whose first comment names the function.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from c_header import Function, ManualError, read_constants, read_functions, read_opening
from mdoc import argument, body, escaped, literal, marked_up, options, prose

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
    (
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ): "Certificates to trust instead of those of the system's trust store.",
    ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"): (
        "The proxy, if the option `proxy` is null: the first of these that is set and not empty."
    ),
    ("http_proxy", "ALL_PROXY", "all_proxy"): (
        "The same for `http`. Without `allow_http`, the proxy is used only if it is on loopback."
    ),
    (
        "NO_PROXY",
        "no_proxy",
    ): "Hosts, domains and IP addresses that are reached without a proxy, separated by commas.",
}


def read_examples() -> dict[str, str]:
    """Returns the example program of each function."""
    found: dict[str, str] = {}
    for path in sorted(EXAMPLES.glob("*.c")):
        names, program = path.read_text(encoding="utf-8").removeprefix("/* ").split(" */\n", 1)
        for name in names.replace("\n", " ").split(", "):
            if name.strip() in found or f"{name.strip()}(" not in program:
                raise ManualError(
                    f"{path.name}: {name.strip()} has another example, or is not called in this one"
                )
            found[name.strip()] = program
    return found


def synopsis(function: Function) -> list[str]:
    lines = [f".Ft {argument(function.returns)}"]
    return [
        *lines,
        f".Fn {function.name} {' '.join(argument(text) for text in function.parameters)}",
    ]


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
    return [
        ".Sh SEE ALSO",
        *(f".Xr {name} 3 ," for name in references[:-1]),
        f".Xr {references[-1]} 3",
    ]


def page_of(function: Function, examples: dict[str, str]) -> list[str]:
    doc, name = function.doc, function.name
    if name not in examples:
        raise ManualError(
            f"{name} has no example: name it in the first comment of a program in {EXAMPLES}"
        )
    lines = [
        *heading(name, imperative(doc.summary)),
        *synopsis(function),
        ".Sh DESCRIPTION",
        *body(doc.blocks, name),
    ]
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
        group = next(
            title for title, prefixes in GROUPS.items() if function.name.startswith(prefixes)
        )
        groups[group].append(function)
    for title, those in groups.items():
        lines.extend([f".Ss {title}", *(line for function in those for line in synopsis(function))])

    lines.extend(
        [".Sh DESCRIPTION", "The", ".Nm", "library updates a customer's record in CommBox:"]
    )
    lines.extend(
        [
            ".Li POST /users/{USER_ID} .",
            "Each function has a page of its own.",
            "Link with",
            ".Fl lcommbox .",
        ]
    )
    for title, text in read_opening(header).items():
        lines.extend([f".Ss {title}", *marked_up(text, "")])

    lines.append(".Sh OPTIONS")
    for function in functions:
        rows = [block for block in function.doc.blocks if block[0].startswith("| `")]
        if rows:
            first = lines[-1] == ".Sh OPTIONS"
            lines.extend(
                [*([] if first else [".Pp"]), "The options of", f".Xr {function.name} 3 :"]
            )
            lines.extend(options(rows, ""))

    constants = read_constants(header)
    codes = {
        name: text
        for name, text in constants.items()
        if not re.search("DELIVERY|ABI_VERSION", name)
    }
    lines.extend(
        [
            ".Sh RETURN VALUES",
            "A function that returns a code returns one of these:",
            ".Bl -tag -width Ds",
        ]
    )
    for name, text in codes.items():
        constant, value = name.split()
        lines.extend([f".It Dv {constant} Pq {escaped(value)}", *marked_up(text, "")])
    lines.extend(
        [".El", ".Pp", ".Xr commbox_last_delivery 3", "returns one of these:", ".Bl -tag -width Ds"]
    )
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
        [
            ".Sh EXAMPLES",
            *literal(program),
            ".Pp",
            ".Dl cc update.c $(pkg\\-config \\-\\-cflags \\-\\-libs commbox)",
        ]
    )
    lines.extend(
        [".Sh AVAILABILITY", "Since version 1.0, unless the page of a function says otherwise."]
    )
    names = sorted(function.name for function in functions)
    lines.extend(
        [".Sh SEE ALSO", *(f".Xr {name} 3 ," for name in names[:-1]), f".Xr {names[-1]} 3"]
    )
    return lines


def pages() -> dict[Path, str]:
    header = HEADER.read_text(encoding="utf-8")
    functions, examples = read_functions(header), read_examples()
    strangers = set(examples) - {function.name for function in functions}
    if strangers:
        raise ManualError(
            f"an example names {sorted(strangers)}, which the header does not declare"
        )
    written = {function.name: page_of(function, examples) for function in functions}
    written["commbox"] = overview(header, functions)
    return {PAGES / f"{name}.3": "\n".join(lines) + "\n" for name, lines in written.items()}


def main(arguments: list[str]) -> None:
    made = pages()
    present = {path: path.read_text(encoding="utf-8") for path in PAGES.glob("*.3")}
    if arguments == ["check"]:
        stale = sorted(
            path.name for path in made.keys() | present if made.get(path) != present.get(path)
        )
        if stale:
            sys.exit(
                f"not what the header says: {', '.join(stale)}; "
                "run python3 packaging/manual.py, and commit it"
            )
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
