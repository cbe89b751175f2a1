"""Memory that the C library keeps while a network computes, instead of getting it from the system for every layer.

Memory that is new has to be cleared by the system, page by page: on the CPU this was a quarter of a network's time.
Only glibc, the C library of most Linux systems, can be told so; elsewhere nothing changes.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

LARGEST_KEPT = 5 << 27
"""Bytes of an array from which its memory goes back at once: a hole of that size would hardly fit the next array."""
ALL = -1
"""As a threshold: the largest number there is."""
USUAL = 1 << 25
"""Bytes of an array from which glibc by itself gives memory back, once such arrays were used."""
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Numbers of the settings of ``mallopt``."""

_lock = Lock()
_users = 0


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let freed memory be used again until this, and every other such block, ends; then it goes back to the system."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(MMAP_THRESHOLD, LARGEST_KEPT)
            _set(TRIM_THRESHOLD, ALL)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set(MMAP_THRESHOLD, USUAL)
                _set(TRIM_THRESHOLD, 2 * USUAL)
                release()


def share_among_threads() -> None:
    """Let threads that begin from now on have no memory of their own, since `kept_memory` is that of the first one."""
    _set(ARENA_MAX, 1)


def release() -> None:
    """Give freed memory back that the C library keeps for later, hundreds of megabytes at times."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _set(setting: int, value: int) -> None:
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(setting, value)


def _function(name: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
