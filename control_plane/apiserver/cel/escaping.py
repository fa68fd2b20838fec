"""Names of properties as identifiers: what CEL cannot spell is spelled otherwise (`x-y` is `x__dash__y`)."""

from __future__ import annotations

import re

from control_plane.apiserver.cel.parser import RESERVED

_ACCESSIBLE = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*")
_RESERVED = RESERVED | {"true", "false", "null", "in"}
_PARTS = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_FROM = re.compile(r"__|\.|-|/")
_TO = re.compile("__(underscores|dot|dash|slash)__")
_BACK = {"underscores": "__", "dot": ".", "dash": "-", "slash": "/"}


def escape(name: str) -> str | None:
    """None for a name that no identifier can stand for."""
    if name in _RESERVED:
        return f"__{name}__"
    if _ACCESSIBLE.fullmatch(name) is None:
        return None
    return _FROM.sub(lambda found: _PARTS[found[0]], name)


def unescape(identifier: str) -> str:
    if identifier.startswith("__") and identifier[2:-2] in _RESERVED and identifier.endswith("__"):
        return identifier[2:-2]
    return _TO.sub(lambda found: _BACK[found[1]], identifier)
