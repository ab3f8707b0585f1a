"""Settings of Sphinx for the site that build.py makes."""

from __future__ import annotations

import sys
from unittest.mock import MagicMock

from pygments.lexers.special import TextLexer

# The documentation of commbox.spark is read without PySpark, which is large.
_SPARK = ("", ".errors", ".sql", ".sql.functions", ".sql.types")
for _name in ("py4j", "py4j.protocol", *(f"pyspark{part}" for part in _SPARK)):
    sys.modules[_name] = MagicMock(__version__="4.0.0")

project = "commbox"
copyright = "the authors of commbox"  # noqa: A001
html_title = "commbox"
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Anchors of headings, as pages that link to them expect.
myst_heading_anchors = 6
# A JSON example with "…", or a listing of part of a file, need not be whole.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "groupwise"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def setup(app: object) -> None:
    app.add_lexer("csv", TextLexer)  # type: ignore[attr-defined]
