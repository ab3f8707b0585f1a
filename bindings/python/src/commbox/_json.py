"""How this package writes JSON. Imported when something is to be written: importing the package is quicker for it."""

from __future__ import annotations

from json import JSONEncoder

to_json = JSONEncoder(ensure_ascii=False, allow_nan=False).encode
