"""Compiles the published API into the files that a running server loads: `python -m control_plane.api.build`.

    _build/<digest>/schema.json      the table behind `schema`
    _build/<digest>/openapi/…        the OpenAPI documents, ready to be sent (see `openapi.documents`)

The files are derived data and never committed. The directory's name is the digest of everything they are
made from (the versions of the input packages, the code of the compilers), so that it is either right or
missing: it is built aside and renamed into place, no reader sees half of it, and no process loses the files
it started with. Several processes may call `ensure_built` at once; the first rename wins.
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
KEPT_BUILDS = 3
STAMP_CHARS = 16
_COMPILERS = (
    "build.py",
    "resources.py",
    "registry.py",
    "schema_table.py",
    "sources.py",
    "data/protobuf-fields.json",
)


def ensure_built() -> Path:
    """The directory of the compiled files, which are built first where they are missing: about half a
    second.
    """
    target = build_directory()
    if not target.is_dir():
        _build_into(target)
        _prune(target)
    return target


@lru_cache(maxsize=1)
def build_directory() -> Path:
    """Inside the package; in the user's cache where the package cannot be written."""
    name = stamp()[:STAMP_CHARS]
    inside = PACKAGE / "_build" / name
    if inside.is_dir() or os.access(PACKAGE, os.W_OK):
        return inside
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "balsa" / "api" / name


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
    staging = Path(tempfile.mkdtemp(prefix=".new.", dir=target.parent))
    try:
        _compile(staging)
        staging.chmod(0o755)
        staging.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first, with the same content
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _prune(current: Path) -> None:
    """Older builds go, but for a few that running processes may still read."""
    others = [path for path in current.parent.iterdir() if path != current and not path.name.startswith(".")]
    newest_first = sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[KEPT_BUILDS - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def _compile(directory: Path) -> None:
    from control_plane.api import schema_table, sources
    from control_plane.api.openapi import documents
    from control_plane.api.registry import Registry

    definitions = sources.definitions()
    messages = sources.protobuf_messages()
    table = schema_table.compile_table(definitions, messages)
    (directory / "schema.json").write_bytes(orjson.dumps(table))
    documents.write(directory / "openapi", Registry.builtin(), definitions)


def main() -> int:
    print(ensure_built())
    return 0


if __name__ == "__main__":
    sys.exit(main())
