"""Finds the links of a built site that lead to no file, or to no place in it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value and tag != "form":
                self.links.append(value)


def broken(site: Path, made_elsewhere: Path) -> list[str]:
    """Each broken link, after its page. Pages that another tool made are not checked."""
    pages: dict[Path, _Page] = {}

    def read(path: Path) -> _Page:
        if path not in pages:
            pages[path] = _Page(path.read_text(encoding="utf-8"))
        return pages[path]

    found = []
    for path in sorted(site.rglob("*.html")):
        if made_elsewhere in path.parents:
            continue
        for link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            is_there = target.is_file()
            if is_there and anchor and target.suffix == ".html":
                is_there = anchor in read(target).anchors
            if not is_there:
                found.append(f"{path.relative_to(site)}: {link}")
    if not pages:
        raise SystemExit(f"there are no pages in {site}")
    return found
