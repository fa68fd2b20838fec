"""Container logs: records, tails, following over rotation, and which log a request means."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from node.agent import cri_log, log_reader, log_request
from node.agent.errors import LogError
from node.agent.log_request import LogOptions
from tests.node.agent.conftest import eventually

Obj = dict[str, Any]


def line(second: int, text: str, stream: str = "stdout", tag: str = "F") -> str:
    return f"2026-11-20T17:05:{second:02d}.000000000Z {stream} {tag} {text}\n"


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines))
    return path


async def shown(path: Path, options: LogOptions, running: bool = False) -> str:
    async def is_running() -> bool:
        return running

    return b"".join([each async for each in log_reader.read(path, options, is_running)]).decode()


LINES = (line(1, "one"), line(2, "two", "stderr"), line(3, "thr", tag="P"), line(3, "ee"), line(4, "four"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(LogOptions(), "one\ntwo\nthree\nfour\n", id="everything"),
        pytest.param(LogOptions(tail_lines=2), "ee\nfour\n", id="tail"),
        pytest.param(LogOptions(tail_lines=0), "", id="no tail"),
        pytest.param(LogOptions(tail_lines=99), "one\ntwo\nthree\nfour\n", id="more than there is"),
        pytest.param(LogOptions(limit_bytes=5), "one\nt", id="limit"),
        pytest.param(LogOptions(stream="stderr"), "two\n", id="one stream"),
        pytest.param(LogOptions(since_s=1795194304.0), "four\n", id="since"),
        pytest.param(
            LogOptions(tail_lines=1, timestamps=True),
            "2026-11-20T17:05:04.000000000Z four\n",
            id="timestamps",
        ),
    ],
)
async def test_what_is_shown(tmp_path: Path, options: LogOptions, expected: str) -> None:
    path = write(tmp_path / "0.log", *LINES)
    since = log_request.times.parse("2026-11-20T17:05:04Z") if options.since_s else None
    options = LogOptions(
        tail_lines=options.tail_lines, limit_bytes=options.limit_bytes, stream=options.stream,
        since_s=since, timestamps=options.timestamps,
    )  # fmt: skip
    assert await shown(path, options) == expected


@pytest.mark.parametrize("size", [1, 10, 5000], ids=["1 line", "10 lines", "many blocks"])
def test_the_tail_of_long_logs(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "0.log", *(line(index % 60, f"line {index} {'x' * 50}") for index in range(6000)))
    found = list(cri_log.records(path, cri_log.offset_of_tail(path, size)))
    assert len(found) == size
    assert found[-1].content.startswith(b"line 5999 ")


def test_a_torn_line_is_no_record() -> None:
    assert cri_log.parse(b"2026-11-20T17:05:0") is None
    assert cri_log.parse(line(1, "").encode()) == cri_log.Record(
        b"2026-11-20T17:05:01.000000000Z", b"stdout", False, b""
    )


async def test_following_goes_over_a_rotation_and_ends_with_the_container(tmp_path: Path) -> None:
    path = write(tmp_path / "0.log", line(1, "one"))
    running = True

    async def is_running() -> bool:
        return running

    got: list[bytes] = []

    async def follow() -> None:
        async for piece in log_reader.read(path, LogOptions(follow=True), is_running):
            got.append(piece)

    async with asyncio.timeout(10):
        task = asyncio.create_task(follow())
        await eventually(lambda: got == [b"one\n"])
        with path.open("a") as file:
            file.write(line(2, "two"))
        path.rename(tmp_path / "0.log.old")
        write(path, line(3, "three"))
        await eventually(lambda: b"".join(got) == b"one\ntwo\nthree\n")
        with path.open("a") as file:
            file.write(line(4, "last"))
        running = False
        await task
    assert b"".join(got).endswith(b"last\n")


def status(state: Obj, last: Obj | None = None) -> Obj:
    container = {"name": "main", "state": state, "lastState": last or {}, "containerID": "process://now"}
    return {"containerStatuses": [container]}


RUNNING: Obj = {"running": {}}
ENDED: Obj = {"terminated": {"containerID": "process://ended"}}


@pytest.mark.parametrize(
    ("given", "previous", "expected"),
    [
        pytest.param(status(RUNNING), False, "now", id="running"),
        pytest.param(status(ENDED), False, "ended", id="ended"),
        pytest.param(
            status({"waiting": {"reason": "CrashLoopBackOff"}}, ENDED), False, "ended", id="backing off"
        ),
        pytest.param(status(RUNNING, ENDED), True, "ended", id="previous"),
    ],
)
def test_which_container_is_meant(given: Obj, previous: bool, expected: str) -> None:
    assert log_request.container_id(given, "web", "main", previous) == expected


@pytest.mark.parametrize(
    ("given", "previous", "message"),
    [
        pytest.param(
            status({"waiting": {"reason": "ContainerCreating"}}), False,
            'container "main" in pod "web" is waiting to start: ContainerCreating', id="creating",
        ),
        pytest.param(
            status({"waiting": {"reason": "ImagePullBackOff"}}), False,
            'container "main" in pod "web" is waiting to start: trying and failing to pull image', id="image",
        ),
        pytest.param(
            status(RUNNING), True, 'previous terminated container "main" in pod "web" not found', id="no previous"
        ),
        pytest.param({}, False, 'container "main" in pod "web" is not available', id="unknown"),
    ],
)  # fmt: skip
def test_why_there_is_no_log(given: Obj, previous: bool, message: str) -> None:
    with pytest.raises(LogError) as raised:
        log_request.container_id(given, "web", "main", previous)
    assert str(raised.value) == message
