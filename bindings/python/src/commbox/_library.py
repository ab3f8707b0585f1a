"""Finds, loads and declares the commbox shared library."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from ctypes import (
    CDLL,
    POINTER,
    PyDLL,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_uint32,
    c_uint64,
    c_void_p,
    string_at,
)

from ._interrupt import CALLBACK, LOG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ABI_VERSION = 1
"""The version of the library's ABI that this package requires."""

FILE_NAME = {"win32": "commbox.dll", "darwin": "libcommbox.dylib"}.get(
    sys.platform, "libcommbox.so"
)

# Strings that the caller must free are declared as void pointers, because ctypes converts a char
# pointer to bytes and drops its address.
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "commbox_version": (c_char_p, ()),
    "commbox_abi_version": (c_uint32, ()),
    "commbox_client_new": (c_void_p, (c_char_p, c_char_p)),
    "commbox_client_new_with": (c_void_p, (c_char_p, c_void_p)),
    "commbox_client_free": (None, (c_void_p,)),
    "commbox_client_set_api_key": (c_int32, (c_void_p, c_char_p)),
    "commbox_client_set_max_requests_per_second": (c_int32, (c_void_p, c_double)),
    "commbox_client_cancel": (c_int32, (c_void_p,)),
    "commbox_client_set_interrupt": (c_int32, (c_void_p, CALLBACK, c_void_p)),
    "commbox_client_set_log": (c_int32, (c_void_p, c_int32, LOG, c_void_p)),
    "commbox_client_validate_user_json": (c_int32, (c_void_p, c_int64, c_char_p)),
    "commbox_client_stats_json": (c_void_p, (c_void_p,)),
    "commbox_client_diagnose_json": (c_void_p, (c_void_p,)),
    "commbox_update_user_json": (c_int32, (c_void_p, c_int64, c_char_p, POINTER(c_void_p))),
    "commbox_update_user_json_with": (
        c_int32,
        (c_void_p, c_int64, c_char_p, c_char_p, POINTER(c_void_p)),
    ),
    "commbox_last_error": (c_char_p, ()),
    "commbox_last_error_code": (c_int32, ()),
    "commbox_last_error_json": (c_char_p, ()),
    "commbox_last_attempts": (c_int32, ()),
    "commbox_last_elapsed_ms": (c_int64, ()),
    "commbox_last_http_status": (c_int32, ()),
    "commbox_last_delivery": (c_int32, ()),
    "commbox_last_retry_after_ms": (c_int64, ()),
    "commbox_last_request_id": (c_char_p, ()),
    "commbox_code_name": (c_char_p, (c_int32,)),
    "commbox_code_is_transient": (c_int32, (c_int32,)),
    "commbox_string_free": (None, (c_void_p,)),
    "commbox_options_new": (c_void_p, ()),
    "commbox_options_set": (c_int32, (c_void_p, c_char_p, c_char_p)),
    "commbox_options_free": (None, (c_void_p,)),
    "commbox_user_new": (c_void_p, ()),
    "commbox_user_set": (c_int32, (c_void_p, c_char_p, c_char_p)),
    "commbox_user_set_custom": (c_int32, (c_void_p, c_char_p, c_char_p)),
    "commbox_user_to_json": (c_void_p, (c_void_p,)),
    "commbox_user_free": (None, (c_void_p,)),
    "commbox_batch_new": (c_void_p, (c_void_p, c_char_p)),
    "commbox_batch_new_with": (c_void_p, (c_void_p, c_void_p)),
    "commbox_batch_submit_with": (
        c_int32,
        (c_void_p, c_uint64, c_int64, c_char_p, c_char_p, c_int64),
    ),
    "commbox_batch_submit": (c_int32, (c_void_p, c_uint64, c_int64, c_char_p, c_int64)),
    "commbox_batch_next": (
        c_int32,
        (c_void_p, c_int64, POINTER(c_uint64), POINTER(c_int32), POINTER(c_void_p)),
    ),
    "commbox_batch_notify_fd": (c_int64, (c_void_p,)),
    "commbox_batch_close": (c_int32, (c_void_p,)),
    "commbox_batch_cancel": (c_int32, (c_void_p,)),
    "commbox_batch_cancel_tag": (c_int32, (c_void_p, c_uint64)),
    "commbox_batch_stats_json": (c_void_p, (c_void_p,)),
    "commbox_batch_free": (None, (c_void_p,)),
}
"""Every function of ``commbox.h``: its return type and its parameters."""


def load() -> CDLL:
    """Returns the first usable library, or raises an ImportError with the reason for each."""
    failures = []
    for origin, path in _candidates():
        try:
            library = _open(path)
        except (OSError, ImportError) as error:
            failures.append(f"  {path} ({origin}): {error}")
            continue
        if failures and os.environ.get("COMMBOX_LIBRARY"):
            warnings.warn(
                f"commbox uses {path}, since this failed:\n{failures[0]}",
                RuntimeWarning,
                stacklevel=2,
            )
        return library
    raise ImportError(
        "\n".join(["the commbox shared library could not be loaded. Tried:", *failures, _advice()])
    )


def _advice() -> str:
    if getattr(sys, "frozen", False):
        return (
            f"This program is frozen, and was built without it: put {FILE_NAME} into its folder "
            "commbox. PyInstaller does so by itself where the package is installed with pip; else "
            f"use --add-binary {FILE_NAME}:commbox."
        )
    return (
        "Install the package for this platform (pip install ./bindings/python in a checkout builds "
        "it), or build the library (cargo build --release) and set COMMBOX_LIBRARY to the path of "
        f"{FILE_NAME}."
    )


def _candidates() -> Iterator[tuple[str, str]]:
    chosen = os.environ.get("COMMBOX_LIBRARY")
    if chosen:
        yield "COMMBOX_LIBRARY", os.path.abspath(chosen)
    # pathlib is not used because importing it takes longer than importing this whole package.
    own = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
    yield "beside the package", _unpacked() or os.path.join(own, FILE_NAME)  # noqa: PTH118
    if sys.platform in ("win32", "darwin"):
        from ctypes.util import find_library

        yield "on the system", find_library("commbox") or FILE_NAME
    else:
        # By its soname, as a linked program finds it; find_library would run a compiler to search
        # for it.
        yield "on the system", f"libcommbox.so.{ABI_VERSION}"


def _unpacked() -> str | None:
    """Returns a copy of the library that exists until the process ends, if the package was imported
    from a zip file, such as a wheel that Spark's ``addPyFile`` distributes. No system loads a
    library from a zip file.
    """
    if not hasattr(getattr(__spec__, "loader", None), "archive"):
        return None
    import atexit
    from contextlib import ExitStack, suppress
    from importlib.resources import as_file, files

    copies = ExitStack()
    try:
        # Python 3.9 does not set __package__ when it imports from a zip file.
        path = copies.enter_context(as_file(files(__name__.rpartition(".")[0]).joinpath(FILE_NAME)))
    except (
        OSError,
        KeyError,
    ):  # the file has no library (KeyError: Python 3.9), or there is no room
        return None

    @atexit.register
    def remove() -> None:
        # Windows cannot delete a library while it is loaded.
        with suppress(OSError):
            copies.close()

    return str(path)


def _open(path: str) -> CDLL:
    try:
        # CDLL rather than PyDLL, so that other threads run while a call blocks.
        library = CDLL(path)
    except OSError:
        running = sys.executable if sys.platform == "win32" else "/proc/self/exe"
        theirs, ours = _processor(path), _processor(running)
        if theirs and ours and theirs != ours:
            # The system's message is misleading: Linux reports a missing file, and Windows an
            # invalid one.
            raise ImportError(
                f"it is for {theirs}, and this Python for {ours}; install matching versions"
            ) from None
        raise
    _declare(library, "commbox_abi_version")
    found = library.commbox_abi_version()
    if found != ABI_VERSION:
        raise ImportError(
            f"its ABI version is {found}, and this package needs {ABI_VERSION}; "
            "install matching versions"
        )
    for name in FUNCTIONS:
        _declare(library, name)
    return library


def _processor(path: str) -> str | None:
    """Returns the processor that a library or program of Linux or Windows is built for; None if it
    is neither.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            head = file.read(1024)
    except OSError:
        return None
    if head.startswith(b"\x7fELF"):
        number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
        return {3: "x86", 40: "ARM", 62: "x86-64", 183: "ARM64"}.get(number, f"processor {number}")
    if head.startswith(b"MZ"):
        at = int.from_bytes(head[60:64], "little")
        if head[at : at + 4] == b"PE\0\0":
            number = int.from_bytes(head[at + 4 : at + 6], "little")
            return {0x14C: "x86", 0x1C4: "ARM", 0x8664: "x86-64", 0xAA64: "ARM64"}.get(
                number, f"processor {number}"
            )
    return None


def _declare(library: CDLL, name: str) -> None:
    try:
        function = getattr(library, name)
    except AttributeError:
        raise ImportError(
            f"it has no {name}, so it is another library or an older release; "
            "install matching versions"
        ) from None
    function.restype, function.argtypes = FUNCTIONS[name]


lib = load()

# For calls that never block. They keep the GIL, because releasing and reacquiring it takes longer
# than the call.
quick = PyDLL(lib._name)
for _name in (
    "commbox_batch_submit_with",
    "commbox_batch_next",
    "commbox_client_validate_user_json",
    "commbox_last_attempts",
    "commbox_last_elapsed_ms",
    "commbox_last_request_id",
    "commbox_string_free",
):
    _declare(quick, _name)


def take_text(text: int) -> str:
    """Copies a string that the library returned at this address, and frees it."""
    try:
        return string_at(text).decode()
    finally:
        quick.commbox_string_free(text)
