"""Container logs in CRI's format: `2026-11-20T17:05:09.123456789Z stdout F the line`.

`P` marks a part of a line that goes on in the next record of its stream. Rotation renames `0.log` away and
begins a new one; a reader that follows goes on with the new file when the old one is read to its end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 64 * 1024
MAX_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    timestamp: bytes
    stream: bytes
    partial: bool
    content: bytes  # without the newline of the record; a full line gets one when shown

    def shown(self, timestamps: bool) -> bytes:
        text = self.content if self.partial else self.content + b"\n"
        return self.timestamp + b" " + text if timestamps else text


def parse(line: bytes) -> Record | None:
    """None for what is no record: a damaged end of a file after a crash."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    content = parts[3] if len(parts) == 4 else b""
    return Record(parts[0], parts[1], parts[2].split(b":")[0] == b"P", content)


def offset_of_tail(path: Path, lines: int) -> int:
    """Where the last `lines` records begin. A line in parts counts by its records, as kubelet counts it."""
    if lines <= 0:
        return path.stat().st_size
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        position, found = end, 0
        while position > 0:
            size = min(BLOCK_BYTES, position)
            position -= size
            file.seek(position)
            block = file.read(size)
            scan = len(block) - 1 if position + size == end and block.endswith(b"\n") else len(block)
            while (newline := block.rfind(b"\n", 0, scan)) >= 0:
                found += 1
                if found == lines:
                    return position + newline + 1
                scan = newline
    return 0


def records(path: Path, offset: int = 0) -> Iterator[Record]:
    with path.open("rb") as file:
        file.seek(offset)
        while line := file.readline(MAX_LINE_BYTES):
            if record := parse(line):
                yield record


def tail_text(path: Path, lines: int, limit_bytes: int) -> str:
    """The end of the log as text, at most `limit_bytes` of it; nothing when there is no log."""
    try:
        shown = b"".join(each.shown(False) for each in records(path, offset_of_tail(path, lines)))
    except OSError:
        return ""
    return shown[-limit_bytes:].decode(errors="replace")
