"""Tells as JSON what the Python package declares of the library: functions, ABI version, codes."""

from __future__ import annotations

import ctypes
import json
from typing import Any

from commbox import _errors, _library


def name_of(declared: Any) -> str:
    """What a type of ctypes is to the machine, in the words of tests/parity.rs."""
    if declared is None:
        return "void"
    if issubclass(declared, ctypes._CFuncPtr):
        takes = ",".join(name_of(argument) for argument in declared._argtypes_)
        return f"fn({takes})->{name_of(declared._restype_)}"
    # z, P and O are text, any pointer, and a Python object.
    if issubclass(declared, ctypes._Pointer) or declared._type_ in "zPO":
        return "pointer"
    if declared._type_ == "d":
        return "f64"
    sign = "u" if declared._type_.isupper() else "i"
    return f"{sign}{8 * ctypes.sizeof(declared)}"


functions = {
    name: [name_of(t) for t in (returns, *takes)]
    for name, (returns, takes) in _library.FUNCTIONS.items()
}
print(json.dumps([functions, _library.ABI_VERSION, sorted(_errors._CLASSES)]))
