"""Compiles the published API into the files that a running server loads: `python -m control_plane.api.build`.

    _build/schema.json           the table behind `schema`
    _build/openapi/…             the OpenAPI documents, ready to be sent (see `openapi.documents`)
    _build/STAMP                 the digest of everything the others were made from

The files are derived data: never committed, rebuilt when an input changes (the versions of the input
packages or the code of the compilers), built aside and renamed into place, so that a reader never sees half
of them. Several processes may call `ensure_built` at once; the last rename wins with the same content.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

PACKAGE = Path(__file__).parent
_COMPILERS = (
    "build.py",
    "resources.py",
    "registry.py",
    "schema_table.py",
    "sources.py",
    "data/protobuf-fields.json",
)


def ensure_built() -> Path:
    """The directory of the compiled files, building them first where they are missing or stale."""
    target = build_directory()
    if not is_current(target):
        _build_into(target)
        build_directory.cache_clear()
    return target


def is_current(target: Path) -> bool:
    try:
        return (target / "STAMP").read_text() == stamp()
    except OSError:
        return False


@lru_cache(maxsize=1)
def build_directory() -> Path:
    """Inside the package; in the user's cache where the package cannot be written."""
    inside = PACKAGE / "_build"
    if is_current(inside) or os.access(PACKAGE, os.W_OK):
        return inside
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "balsa" / f"api-{stamp()[:16]}"


@lru_cache(maxsize=1)
def stamp() -> str:
    from control_plane.api import sources

    digest = hashlib.sha256(orjson.dumps(sources.inputs_version(), option=orjson.OPT_SORT_KEYS))
    compilers = [PACKAGE / name for name in _COMPILERS] + sorted((PACKAGE / "openapi").glob("*.py"))
    for path in compilers:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load_schema_table() -> dict[str, Any]:
    table: dict[str, Any] = orjson.loads((ensure_built() / "schema.json").read_bytes())
    return table


def _build_into(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="_build.", dir=target.parent))
    try:
        _compile(staging)
        (staging / "STAMP").write_text(stamp())
        _replace(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _compile(directory: Path) -> None:
    from control_plane.api import schema_table, sources
    from control_plane.api.openapi import documents
    from control_plane.api.registry import Registry

    definitions = sources.definitions()
    messages = sources.protobuf_messages()
    table = schema_table.compile_table(definitions, messages)
    (directory / "schema.json").write_bytes(orjson.dumps(table))
    documents.write(directory / "openapi", Registry.builtin(), definitions)


def _replace(staging: Path, target: Path) -> None:
    """A directory cannot be renamed over a full one: the old one steps aside first."""
    staging.chmod(0o755)
    for _ in range(3):  # another process may put its own there in between; one of the equal results stays
        aside = Path(tempfile.mkdtemp(prefix="_build.old.", dir=target.parent))
        try:
            if target.exists():
                target.rename(aside / "old")
            staging.rename(target)
        except OSError:
            if is_current(target):
                return
        else:
            return
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    raise RuntimeError(f"cannot put the compiled API data into {target}")


def main() -> int:
    print(ensure_built())
    return 0


if __name__ == "__main__":
    sys.exit(main())
