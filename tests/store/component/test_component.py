"""Flags, logs and health: what every process takes and says."""

from __future__ import annotations

import logging
from pathlib import Path

import orjson
import pytest

from store.component import health, logs
from store.component.flags import Parser, parse_duration


def parser() -> Parser:
    made = Parser("thing", "A thing.")
    made.add_argument("--name", default="x")
    made.add_argument("--peer", action="append", default=[])
    made.add_bool("--fast", True, "go fast")
    return made


def test_file_gives_values_and_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("name: from-file\nfast: false\npeer: [a, b]\n")
    args = parser().parse([f"--config={tmp_path / 'c.yaml'}", "--name", "from-flag"])
    assert (args.name, args.fast, args.peer) == ("from-flag", False, ["a", "b"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("nmae: x", "unknown flag 'nmae'", id="unknown key"),
        pytest.param("- a", "must hold a mapping", id="not a mapping"),
        pytest.param("a: [", "cannot read", id="not YAML"),
        pytest.param("fast: maybe", "neither true nor false", id="bad value"),
    ],
)
def test_bad_file_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(SystemExit) as exit_:
        parser().parse(["--config", str(tmp_path / "c.yaml")])
    assert exit_.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("10s", 10), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("form", ["text", "json"])
def test_log_line(capsys: pytest.CaptureFixture[str], form: str) -> None:
    kept = logging.getLogger().handlers[:]
    try:
        logs.setup(2, form)
        logs.get("component.example").info("became leader", term=4, why='a "quote"')
        logs.get("component.example").debug("not shown")
    finally:
        logging.getLogger().handlers[:] = kept
    (line,) = capsys.readouterr().err.splitlines()
    if form == "json":
        assert orjson.loads(line) | {"ts": ""} == {
            "ts": "", "level": "info", "logger": "component.example", "msg": "became leader",
            "term": 4, "why": 'a "quote"',
        }  # fmt: skip
    else:
        assert line.endswith('INFO component.example became leader term=4 why="a \\"quote\\""')


@pytest.mark.parametrize(
    ("path", "verbose", "status", "body"),
    [
        pytest.param(
            "/readyz", False, 500, "[+]ping ok\n[-]store failed: no leader\nreadyz check failed\n", id="bad"
        ),
        pytest.param("/readyz/ping", False, 200, "ok", id="one good"),
        pytest.param("/readyz/ping", True, 200, "[+]ping ok\nreadyz check passed\n", id="verbose"),
        pytest.param("/readyz/nothing", False, 404, "404 page not found\n", id="unknown"),
    ],
)
def test_health_report(path: str, verbose: bool, status: int, body: str) -> None:
    checks = {"ping": lambda: None, "store": lambda: "no leader"}
    assert health.report(path, checks, verbose) == (status, body)
