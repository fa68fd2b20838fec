"""Structured logs: a message that never varies, and key=value pairs that do.

    2026-11-20T16:57:03.214Z INFO store.raft became leader term=4 index=1812

One line per record on stderr; `--log-format=json` writes objects instead. Values are quoted where they need
it, so that a line can be read by a person and split by a program.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import orjson

DEBUG_VERBOSITY = 4


class Logger:
    """`log.info("started", port=2379)`. Cheap when the level is off."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, message: str, **pairs: Any) -> None:
        self._log(logging.DEBUG, message, pairs)

    def info(self, message: str, **pairs: Any) -> None:
        self._log(logging.INFO, message, pairs)

    def warning(self, message: str, **pairs: Any) -> None:
        self._log(logging.WARNING, message, pairs)

    def error(self, message: str, **pairs: Any) -> None:
        self._log(logging.ERROR, message, pairs)

    def exception(self, message: str, **pairs: Any) -> None:
        """Call it in an `except`: the traceback follows the line."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._logger.error(message, extra={"pairs": pairs}, exc_info=True)

    def _log(self, level: int, message: str, pairs: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, extra={"pairs": pairs})


def get(name: str) -> Logger:
    return Logger(logging.getLogger(name))


def setup(verbosity: int, form: str) -> None:
    """Send every logger of the process to stderr in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= DEBUG_VERBOSITY else logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("pysyncobj").setLevel(logging.WARNING)


def _timestamp(created: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    return f"{whole}.{int(created * 1000) % 1000:03d}Z"


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={_quote(value)}" for key, value in getattr(record, "pairs", {}).items())
        line = f"{_timestamp(record.created)} {record.levelname} {record.name} {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "ts": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **getattr(record, "pairs", {}),
        }
        if record.exc_info:
            fields["stacktrace"] = self.formatException(record.exc_info)
        return orjson.dumps(fields, default=str).decode()


def _quote(value: Any) -> str:
    text = str(value)
    if text and not any(character in text for character in ' "=\n\t'):
        return text
    return orjson.dumps(text).decode()
