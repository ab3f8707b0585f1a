"""Builds the site of the documentation: the pages, and a reference for each language.

`make docs` runs this. It collects the pages in a folder. There, links to other files of the
repository lead to pages that show them. It writes the references for C and C#, and has Sphinx build
the site, where every warning is an error. It adds what `cargo doc` makes, and checks each link of
the result.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

import c_reference
import csharp_reference
import links

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SITE = "docs/site"

# The order of the navigation. A page of docs/ that is in no group is an error.
GROUPS = {
    "Languages": ["c", "cpp", "python", "csharp", "rust", "command", "spark"],
    "Calls": ["options", "errors", "delivery", "batches", "threads", "network", "guide"],
    ".NET": ["services", "dotnet-framework", "powershell", "testing-dotnet"],
    "Project": [
        "install",
        "testing",
        "promises",
        "/BENCHMARKS",
        "/ARCHITECTURE",
        "/CONTRIBUTING",
        "/SECURITY",
        "/RELEASING",
        "/CHANGELOG",
    ],
    "Reference": ["/reference/c", "/reference/python", "/reference/csharp", "/reference/rust"],
}

# Pages of the reference, in place of the files that they are made from.
INSTEAD = {"include/commbox.h": "reference/c.md"}

# The modules in the reference for Python.
MODULES = {
    "commbox": "# Python reference",
    "commbox.testing": "## Testing",
    "commbox.spark": "## Spark",
}

# How files are highlighted, by the ending of their names; others are not.
LANGUAGES = {
    "c": "c",
    "cpp": "cpp",
    "cs": "csharp",
    "csproj": "xml",
    "h": "c",
    "hpp": "cpp",
    "py": "python",
    "rs": "rust",
    "toml": "toml",
}

LINK = re.compile(r"\]\(([^)\s]+)\)")


class Pages:
    """The pages of the site, by the path of the file that each shows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done: set[str] = set()
        self._left: list[str] = []

    def add(self, path: str) -> None:
        """Adds a page of the repository, and all that it links to."""
        self._left.append(path)
        while self._left:
            self._write(self._left.pop())

    def _write(self, path: str) -> None:
        if path in self._done:
            return
        self._done.add(path)
        if path.endswith(".md"):
            place = "index.md" if path == "README.md" else path
            text = self._with_links((ROOT / path).read_text(encoding="utf-8"), path, place)
            orphan = (
                ""
                if place == "index.md" or self._is_in_a_group(path)
                else "---\norphan: true\n---\n\n"
            )
            self.write(place, orphan + text + (toctrees() if place == "index.md" else ""))
        elif Path(path).suffix in (".svg", ".png"):
            target = self._folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target)
        else:
            self.write(shown(path), "---\norphan: true\n---\n\n" + listing(path))

    @staticmethod
    def _is_in_a_group(path: str) -> bool:
        name = path.removeprefix("docs/").removesuffix(".md")
        return any(name in group or f"/{name}" in group for group in GROUPS.values())

    def write(self, place: str, text: str) -> None:
        target = self._folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def _with_links(self, text: str, path: str, place: str) -> str:
        """The text, whose links lead to pages of the site. Fenced blocks stay as they are."""

        def replaced(match: re.Match[str]) -> str:
            target, hash_sign, anchor = match[1].partition("#")
            if "://" in target or not target:
                return match[0]
            file = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            if not (ROOT / file).exists():
                raise SystemExit(f"{path} links to {target}, which is not there")
            if file in INSTEAD:
                to = INSTEAD[file]
            else:
                self._left.append(file)
                is_page = file.endswith(".md") or Path(file).suffix in (".svg", ".png")
                to = ("index.md" if file == "README.md" else file) if is_page else shown(file)
            return f"]({posixpath.relpath(to, posixpath.dirname(place) or '.')}{hash_sign}{anchor})"

        parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
        return "".join(
            part if part.startswith("```") else LINK.sub(replaced, part) for part in parts
        )


def shown(path: str) -> str:
    """Where the page is that shows a file or a folder."""
    return f"source/{path}.md"


def listing(path: str) -> str:
    """A page that shows a file, or what is in a folder."""
    if (ROOT / path).is_dir():
        command = ["git", "-C", str(ROOT), "ls-files", "--", path]
        text, language = (
            subprocess.run(command, check=True, capture_output=True, text=True).stdout,
            "text",
        )
    else:
        text = (ROOT / path).read_text(encoding="utf-8")
        language = LANGUAGES.get(Path(path).suffix.lstrip("."), "text")
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", text))])
    return f"# `{path}`\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"


def toctrees() -> str:
    known = {name for group in GROUPS.values() for name in group}
    for page in (ROOT / "docs").glob("*.md"):
        if page.stem not in known:
            raise SystemExit(f"{page.name} is in no group of {SITE}/build.py")
    parts = []
    for title, names in GROUPS.items():
        places = [name if name.startswith("/") else f"/docs/{name}" for name in names]
        places = [
            place
            for place in places
            if place.startswith("/reference/") or (ROOT / f"{place[1:]}.md").exists()
        ]
        parts.append(
            f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(places) + "\n```\n"
        )
    return "".join(parts)


def write_references(pages: Pages, dotnet: str | None) -> None:
    pages.write(
        "reference/c.md", c_reference.page((ROOT / "include/commbox.h").read_text(encoding="utf-8"))
    )
    pages.write("reference/csharp.md", csharp_reference.page(ROOT, dotnet))
    sections = (
        f"{title}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n"
        "   :show-inheritance:\n   :exclude-members: __version__\n```\n"
        for module, title in MODULES.items()
        if list((ROOT / "bindings/python/src").glob(f"{module.replace('.', '/')}*"))
    )
    pages.write("reference/python.md", "\n".join(sections))
    pages.write(
        "reference/rust.md",
        "# Rust reference\n\n`cargo doc` makes it: "
        '<a href="rust/commbox/index.html">the crate commbox</a>.\n',
    )


def build(source: Path, site: Path, library: Path) -> None:
    environment = {
        **os.environ,
        "COMMBOX_LIBRARY": str(library),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "bindings/python/src"), str(HERE)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    doctrees = source.with_name(source.name + "-doctrees")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--quiet",
        "--fail-on-warning",
        "--keep-going",
        "--jobs",
        "auto",
    ]
    command += ["-b", "html", "-c", str(HERE), "-d", str(doctrees), str(source), str(site)]
    subprocess.run(command, check=True, env=environment)


def run_cargo(cargo: str, target: Path, *arguments: str) -> None:
    environment = {**os.environ, "RUSTDOCFLAGS": "-D warnings", "CARGO_TARGET_DIR": str(target)}
    subprocess.run([cargo, *arguments, "--locked", "--lib"], check=True, cwd=ROOT, env=environment)


def build_library(cargo: str, target: Path) -> Path:
    """The package for Python loads it when its documentation is read."""
    run_cargo(cargo, target, "build")
    name = {"darwin": "libcommbox.dylib", "win32": "commbox.dll"}.get(sys.platform, "libcommbox.so")
    return target / "debug" / name


def add_rustdoc(site: Path, cargo: str, target: Path) -> None:
    run_cargo(cargo, target, "doc", "--no-deps")
    shutil.copytree(target / "doc", site / "reference/rust")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", type=Path, help="where the site and what it is made of are put")
    parser.add_argument("--cargo", default="cargo")
    parser.add_argument("--dotnet", default="dotnet")
    arguments = parser.parse_args()
    target = arguments.target.resolve()
    source, site = target / "site-source", target / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    pages = Pages(source)
    pages.add("README.md")
    for name in sorted((ROOT / "docs").glob("*.md")):
        pages.add(f"docs/{name.name}")
    for names in GROUPS.values():
        for name in names:
            if name.startswith("/") and not name.startswith("/reference/"):
                pages.add(f"{name[1:]}.md")
    write_references(pages, shutil.which(arguments.dotnet))
    build(source, site, build_library(arguments.cargo, target))
    add_rustdoc(site, arguments.cargo, target)
    broken = links.broken(site, made_elsewhere=site / "reference/rust")
    if broken:
        raise SystemExit("links of the site that lead nowhere:\n" + "\n".join(broken))
    print(f"{len(list(site.rglob('*.html')))} pages: {site / 'index.html'}")


if __name__ == "__main__":
    main()
