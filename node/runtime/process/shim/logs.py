"""Container logs in CRI's format, bounded by rotation.

`2016-10-06T00:17:09.669794202Z stdout F the line\\n`; the tag is P when the line goes on in the next record,
which happens to lines longer than MAX_LINE_BYTES (16 KiB, as containerd's default). A file past
`max_bytes` is renamed to `<file>.<time>`, and only the newest `max_files - 1` of these are kept, as the kubelet
does. A log that cannot be written (a full disk) loses lines and never blocks the container.
"""

from __future__ import annotations

import contextlib
import os
import time

MAX_LINE_BYTES = 16 * 1024
MAX_BYTES = 10 * 1024 * 1024  # containerLogMaxSize
MAX_FILES = 5  # containerLogMaxFiles


def timestamp(now_ns: int) -> str:
    seconds, fraction = divmod(now_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09d}Z"


def record(now_ns: int, stream: str, tag: str, line: bytes) -> bytes:
    return f"{timestamp(now_ns)} {stream} {tag} ".encode() + line + b"\n"


class LineSplitter:
    """Bytes in, (tag, line) out; holds at most one unfinished line of MAX_LINE_BYTES."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        found: list[tuple[str, bytes]] = []
        for line in lines:
            found += _pieces(line)
        while len(self._rest) >= MAX_LINE_BYTES:
            found.append(("P", self._rest[:MAX_LINE_BYTES]))
            self._rest = self._rest[MAX_LINE_BYTES:]
        return found

    def flush(self) -> list[tuple[str, bytes]]:
        rest, self._rest = self._rest, b""
        return [("P", rest)] if rest else []


def _pieces(line: bytes) -> list[tuple[str, bytes]]:
    cut = range(0, max(len(line), 1), MAX_LINE_BYTES)
    parts = [line[start : start + MAX_LINE_BYTES] for start in cut]
    return [("P", part) for part in parts[:-1]] + [("F", parts[-1])]


class LogFile:
    """One container's log, shared by its two streams."""

    def __init__(self, path: str, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.max_files = max_files
        self._fd = -1
        self._size = 0
        self._open()

    def write(self, stream: str, lines: list[tuple[str, bytes]], now_ns: int) -> None:
        head = f"{timestamp(now_ns)} {stream} "
        heads = {"F": (head + "F ").encode(), "P": (head + "P ").encode()}
        data = b"".join(heads[tag] + line + b"\n" for tag, line in lines)
        if self._fd < 0 or not data:
            return
        with contextlib.suppress(OSError):
            self._size += os.write(self._fd, data)
        if self._size > self.max_bytes:
            self._rotate(now_ns)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o640)
            self._size = os.fstat(self._fd).st_size
        except OSError:
            self._fd = -1

    def _rotate(self, now_ns: int) -> None:
        self.close()
        with contextlib.suppress(OSError):
            os.rename(self.path, f"{self.path}.{timestamp(now_ns).replace(':', '')}")
            directory, name = os.path.split(self.path)
            old = sorted(entry for entry in os.listdir(directory) if entry.startswith(name + "."))
            for entry in old[: max(len(old) - (self.max_files - 1), 0)]:
                os.unlink(f"{directory}/{entry}")
        self._open()
