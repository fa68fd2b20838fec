"""Flags as every Balsa process takes them: `--name value` on the command line, or `name: value` in the YAML
file that `--config` names. The command line wins; an unknown key in the file is an error, as an unknown flag.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with `--config FILE`, and booleans that take `--flag`, `--flag=false`."""

    def __init__(self, prog: str, description: str, *, config_flag: str = "--config") -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        self._config_flag = config_flag
        self.add_argument(config_flag, metavar="FILE", help="YAML file of flags; the command line wins")
        self.add_argument(
            "-v", "--v", type=int, default=2, metavar="LEVEL", help="log verbosity; 4 and up: debug"
        )
        self.add_argument("--log-format", choices=["text", "json"], default="text", help="form of a log line")

    def add_bool(self, flag: str, default: bool, help: str) -> None:
        self.add_argument(
            flag, type=parse_bool, nargs="?", const=True, default=default, metavar="true|false", help=help
        )

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse, with the file's values as defaults. Exits with status 2 and one line on an error, as
        argparse does."""
        finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        finder.add_argument(self._config_flag, dest="file")
        known, _ = finder.parse_known_args(list(argv))
        from_file = self._read(known.file) if known.file else []
        return self.parse_args([*from_file, *argv])

    def _read(self, name: str) -> list[str]:
        try:
            document = yaml.safe_load(Path(name).read_bytes()) or {}
        except (OSError, yaml.YAMLError) as error:
            self.error(f"cannot read {name}: {error}")
        if not isinstance(document, dict):
            self.error(f"{name} must hold a mapping of flag names to values")
        return [word for key, value in document.items() for word in self._words(name, str(key), value)]

    def _words(self, name: str, key: str, value: Any) -> list[str]:
        flag = f"--{key}"
        if flag not in self._option_string_actions:
            self.error(f"{name}: unknown flag {key!r}")
        values = value if isinstance(value, list) else [value]
        return [f"{flag}={_text(each)}" for each in values]


def parse_bool(text: str) -> bool:
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """A Go duration ("1m30s", "500ms") in seconds; a bare 0 too."""
    if text == "0":
        return 0.0
    if not re.fullmatch(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 10s or 1m30s")
    pieces = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text)
    return sum(float(number) * _UNITS_S[unit] for number, unit in pieces)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
