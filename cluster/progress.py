"""What a person sees while a cluster starts: a line for each stage, and on a terminal what is being waited for.

    ✓ store has a leader         2.0 s
    ⠹ apiserver ready            3.1 s

Colours and the moving line are for terminals only; NO_COLOR (no-color.org) turns colours off.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TextIO

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAMES_PER_S = 10
NAME_WIDTH = 26
_GREEN, _RED, _YELLOW, _DIM, _END = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_CLEAR_LINE = "\r\x1b[K"


class Progress:
    def __init__(self, out: TextIO, began_s: float) -> None:
        self._out = out
        self._began_s = began_s
        self._moves = out.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        self._colours = self._moves and not os.environ.get("NO_COLOR")

    def say(self, text: str) -> None:
        self._write(f"{text}\n")

    def waiting(self, name: str) -> None:
        if self._moves:
            seconds = time.monotonic() - self._began_s
            frame = FRAMES[int(seconds * FRAMES_PER_S) % len(FRAMES)]
            self._write(f"{_CLEAR_LINE}  {self._paint(_DIM, self._line(frame, name, seconds))}")

    def reached(self, name: str, seconds: float) -> None:
        self.clear()
        self._write(f"  {self._line(self._paint(_GREEN, '✓'), name, seconds)}\n")

    def warn(self, text: str) -> None:
        self.clear()
        self._write(f"  {self._paint(_YELLOW, '!')} {text}\n")

    def clear(self) -> None:
        """Before anything else is printed."""
        if self._moves:
            self._write(_CLEAR_LINE)

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a terminal that was closed shows nothing any more
            self._out.write(text)
            self._out.flush()

    def _line(self, mark: str, name: str, seconds: float) -> str:
        return f"{mark} {name:<{NAME_WIDTH}} {seconds:5.1f} s"

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_END}" if self._colours else text


def error_line(out: TextIO, text: str) -> str:
    """The one line of a failure, `balsa: …`, red at its head on a terminal."""
    if out.isatty() and not os.environ.get("NO_COLOR"):
        return f"{_RED}balsa:{_END} {text}"
    return f"balsa: {text}"
