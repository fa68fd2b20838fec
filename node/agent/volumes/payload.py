"""From API objects to files, pure: path -> content and mode, for configMap, secret, downwardAPI and projected."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.agent.errors import VolumeError
from node.agent.pod_spec import Obj

DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int = DEFAULT_MODE


Payload = dict[str, File]


def keys_of_config_map(obj: Obj) -> dict[str, bytes]:
    text = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return {**text, **binary}


def keys_of_secret(obj: Obj) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}


def from_keys(
    keys: Mapping[str, bytes], items: Sequence[Obj] | None, mode: int, optional: bool, what: str
) -> Payload:
    """All keys by their names, or the listed ones by their paths."""
    if not items:
        return {key: File(content, mode) for key, content in keys.items()}
    files: Payload = {}
    for item in items:
        if item["key"] not in keys:
            if optional:
                continue
            raise VolumeError(f"references non-existent {what} key: {item['key']}")
        files[clean(item["path"])] = File(keys[item["key"]], mode_of(item.get("mode"), mode))
    return files


def from_fields(items: Sequence[Obj], mode: int, value: Callable[[Obj], str]) -> Payload:
    return {
        clean(item["path"]): File(value(item).encode(), mode_of(item.get("mode"), mode)) for item in items
    }


def mode_of(given: Any, default: int = DEFAULT_MODE) -> int:
    return default if given is None else int(given) & 0o7777


def clean(path: str) -> str:
    """A path inside the volume. The apiserver has checked it; a static pod's has not been."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or path.startswith("/") or parts[0].startswith(".."):
        raise VolumeError(f"invalid path: {path!r} must be relative, without '..'")
    return "/".join(parts)
