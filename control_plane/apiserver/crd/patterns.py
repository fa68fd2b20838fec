"""Go's regular expressions: RE2 is the same language, and no pattern makes it slow.

The library is loaded when the first pattern is met.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

MAX_PROGRAM_BYTES = 8 * 1024 * 1024
CACHED_PATTERNS = 1024


@lru_cache(maxsize=CACHED_PATTERNS)
def compiled(pattern: str) -> Any:
    """Raises ValueError for what is no pattern."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PROGRAM_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    found = error.args[0] if error.args else ""
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def problem(pattern: str) -> str | None:
    """Why it is no pattern."""
    try:
        compiled(pattern)
    except ValueError as error:
        return str(error)
    return None


def matches(pattern: str, text: str) -> bool:
    """Whether it is found anywhere in the text; what is no pattern is found nowhere."""
    try:
        return compiled(pattern).search(text) is not None
    except ValueError:
        return False
