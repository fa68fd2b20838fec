"""CRI's log format and its bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.runtime.process.shim.logs import MAX_LINE_BYTES, LineSplitter, LogFile, timestamp

LONG = b"x" * MAX_LINE_BYTES


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([b"a\nb\n"], [("F", b"a"), ("F", b"b")], id="lines"),
        pytest.param([b"a", b"b\n"], [("F", b"ab")], id="joined"),
        pytest.param([b"\n\n"], [("F", b""), ("F", b"")], id="empty-lines"),
        pytest.param([b"rest"], [("P", b"rest")], id="unfinished"),
        pytest.param([LONG + b"y\n"], [("P", LONG), ("F", b"y")], id="long"),
        pytest.param([LONG, b"y\n"], [("P", LONG), ("F", b"y")], id="long-in-pieces"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_lines(chunks: list[bytes], expected: list[tuple[str, bytes]]) -> None:
    splitter = LineSplitter()
    found = [line for chunk in chunks for line in splitter.feed(chunk)]
    assert found + splitter.flush() == expected


def test_the_time_has_nanoseconds() -> None:
    assert timestamp(1_475_712_429_669_794_202) == "2016-10-06T00:07:09.669794202Z"


def test_rotation_keeps_the_newest_files(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "0.log"), max_bytes=1000, max_files=3)
    for number in range(100):
        log.write("stdout", [("F", b"%04d " % number + b"x" * 90)], 10**18 + number)
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 3
    assert files[0] == "0.log"
    rotated = sorted(tmp_path.glob("0.log.*"))[-1].read_text()
    following = (tmp_path / "0.log").read_text()
    last, first = rotated.splitlines()[-1].split()[3], following.splitlines()[0].split()[3]
    assert int(first) == int(last) + 1


def test_a_log_that_cannot_be_written_loses_lines_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = LogFile(str(tmp_path / "file/0.log"))
    log.write("stdout", [("F", b"lost")], 1)
    log.close()
