"""Reads a container's log for a request, and follows it: over rotations, until the container has ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BufferedReader
from pathlib import Path

from node.agent import cri_log, times
from node.agent.cri_log import Record
from node.agent.log_request import LogOptions

POLL_S = 0.1
CHUNK_BYTES = 64 * 1024

IsRunning = Callable[[], Awaitable[bool]]


async def read(path: Path, options: LogOptions, is_running: IsRunning) -> AsyncIterator[bytes]:
    """Pieces of the log as it is shown, at most `limit_bytes` of it. Raises OSError when there is none."""
    left = options.limit_bytes
    async for records in _batches(path, options, is_running):
        shown = b"".join(each.shown(options.timestamps) for each in records)
        if left is not None:
            shown = shown[:left]
            left -= len(shown)
        if shown:
            yield shown
        if left == 0:
            return


async def _batches(path: Path, options: LogOptions, is_running: IsRunning) -> AsyncIterator[list[Record]]:
    selection = _Selection(options)
    file = path.open("rb")
    try:
        if options.tail_lines is not None:
            file.seek(cri_log.offset_of_tail(path, options.tail_lines))
        while True:
            running = (
                not options.follow or await is_running()
            )  # asked before reading: its last words are read
            while (batch := _some(file, selection)) is not None:
                yield batch
                await asyncio.sleep(0)
            if not options.follow:
                return
            if _rotated(path, file):
                while (batch := _some(file, selection)) is not None:  # written between the last look and now
                    yield batch
                file.close()
                file = path.open("rb")
            elif not running:
                return
            else:
                await asyncio.sleep(POLL_S)
    finally:
        file.close()


def _some(file: BufferedReader, selection: _Selection) -> list[Record] | None:
    """The next records, a chunk's worth at most, perhaps none that is asked for; None at the end. A line that
    is still being written is left for later."""
    records: list[Record] = []
    size = 0
    while size < CHUNK_BYTES:
        start = file.tell()
        line = file.readline(cri_log.MAX_LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < cri_log.MAX_LINE_BYTES:
            file.seek(start)
            break
        size += len(line)
        record = cri_log.parse(line)
        if record is not None and selection.takes(record):
            records.append(record)
    return records if size else None


class _Selection:
    def __init__(self, options: LogOptions) -> None:
        self._since_s = options.since_s
        self._stream = options.stream.encode()

    def takes(self, record: Record) -> bool:
        if self._stream and record.stream != self._stream:
            return False
        if self._since_s is None:
            return True
        try:
            if times.parse(record.timestamp.decode()) < self._since_s:
                return False
        except ValueError:
            return False
        self._since_s = None  # a log's times only grow
        return True


def _rotated(path: Path, file: BufferedReader) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
