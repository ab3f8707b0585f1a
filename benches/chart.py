"""Draws bar charts as SVG, readable on a light and on a dark page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

BAR, GAP, LABEL, WIDTH, ROOM = 18, 6, 96, 220, 140
PANEL = LABEL + WIDTH + ROOM

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title, .group { font-weight: 600; }
.library { fill: #0969da; } .other { fill: #8c959f; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .library { fill: #4493f8; } .other { fill: #7d8590; }
}
"""


@dataclass(frozen=True)
class Bar:
    label: str
    figure: float
    text: str
    is_library: bool


@dataclass(frozen=True)
class Panel:
    """A chart of one measure: a title, and for each language its bars, scaled to the longest bar of
    that language.
    """

    title: str
    groups: dict[str, list[Bar]]


def draw(panels: list[Panel]) -> str:
    drawn, height = [], 0
    for place, panel in enumerate(panels):
        shapes, bottom = draw_panel(panel)
        drawn.append(f'<g transform="translate({place * PANEL + 10} 0)">{"".join(shapes)}</g>')
        height = max(height, bottom)
    width = PANEL * len(panels) + 20
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><style>{STYLE}</style>'
    return "\n".join([head, *drawn, "</svg>", ""])


def draw_panel(panel: Panel) -> tuple[list[str], int]:
    shapes, y = [text(0, 22, panel.title, "title")], 36
    for name, bars in panel.groups.items():
        y += 20
        shapes.append(text(0, y, name, "group"))
        y += GAP
        longest = max(bar.figure for bar in bars)
        for bar in bars:
            length = max(1, WIDTH * bar.figure / longest)
            kind = "library" if bar.is_library else "other"
            shapes.append(text(0, y + 13, bar.label))
            size = f'width="{length:.1f}" height="{BAR}"'
            shapes.append(f'<rect class="{kind}" x="{LABEL}" y="{y}" {size} rx="2"/>')
            shapes.append(text(LABEL + length + 6, y + 13, bar.text))
            y += BAR + GAP
    return shapes, y + 10


def text(x: float, y: float, words: str, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{css}>{escape(words)}</text>'
