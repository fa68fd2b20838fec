"""exec and attach with the caller's streams: what goes in comes out, exit codes, terminals, ends and hang-ups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.runtime.interface import NotRunning, StartError, Streams, TerminalSize
from node.runtime.process.runtime import ProcessRuntime
from tests.node.runtime.pods import Pods, eventually, log_text

DEADLINE_S = 20


class Given:
    """A source of these pieces; open-ended when told so."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self.pieces = list(pieces)
        self.ends = ends
        self.more = asyncio.Event()

    async def read(self) -> bytes:
        while not self.pieces:
            if self.ends:
                return b""
            self.more.clear()
            await self.more.wait()
        return self.pieces.pop(0)

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.more.set()


class Taken:
    def __init__(self, delay_s: float = 0.0) -> None:
        self.data = bytearray()
        self.delay_s = delay_s

    async def write(self, data: bytes) -> None:
        self.data += data
        await asyncio.sleep(self.delay_s)


async def run(runtime: ProcessRuntime, container: str, script: str, **streams: object) -> int:
    command = ["sh", "-c", script]
    async with asyncio.timeout(DEADLINE_S):
        return await runtime.exec(container, command, Streams(**streams))  # type: ignore[arg-type]


@pytest.fixture
async def container(pods: Pods) -> str:
    return await pods.start("sleep 1000")


async def test_exec_keeps_the_streams_apart_and_returns_the_code(
    runtime: ProcessRuntime, container: str
) -> None:
    out, err = Taken(), Taken()
    code = await run(runtime, container, "echo out; echo err >&2; exit 7", stdout=out, stderr=err)
    assert (code, bytes(out.data), bytes(err.data)) == (7, b"out\n", b"err\n")


async def test_exec_carries_a_mebibyte_both_ways(runtime: ProcessRuntime, container: str) -> None:
    payload = bytes(range(256)) * 4096
    pieces = [payload[i : i + 30_000] for i in range(0, len(payload), 30_000)]
    out = Taken()
    assert await run(runtime, container, "cat", stdin=Given(*pieces), stdout=out) == 0
    assert bytes(out.data) == payload


async def test_exec_without_streams_reads_nothing(runtime: ProcessRuntime, container: str) -> None:
    assert await run(runtime, container, "cat; exit 3") == 3


async def test_exec_ends_although_a_child_keeps_the_pipe(runtime: ProcessRuntime, container: str) -> None:
    out = Taken()
    assert await run(runtime, container, "echo now; sleep 1000 & exit 0", stdout=out) == 0
    assert bytes(out.data) == b"now\n"


async def test_exec_survives_input_that_is_not_read(runtime: ProcessRuntime, container: str) -> None:
    assert await run(runtime, container, "exec 0<&-; exit 4", stdin=Given(b"x" * 500_000)) == 4


async def test_exec_with_a_slow_reader_loses_nothing(runtime: ProcessRuntime, container: str) -> None:
    out = Taken(delay_s=0.01)
    assert await run(runtime, container, "head -c 1000000 /dev/zero", stdout=out) == 0
    assert len(out.data) == 1_000_000


async def test_exec_of_what_is_not_there(runtime: ProcessRuntime, container: str) -> None:
    with pytest.raises(StartError, match="nonesuch"):
        await runtime.exec(container, ["nonesuch"], Streams(stdout=Taken()))
    with pytest.raises(StartError, match="nonesuch"):
        await runtime.exec(container, ["nonesuch"], Streams(stdout=Taken(), tty=True))


async def test_exec_in_an_ended_container(runtime: ProcessRuntime, pods: Pods) -> None:
    ended = await pods.run("true")
    with pytest.raises(NotRunning):
        await run(runtime, ended.id, "true")


async def test_a_cancelled_exec_kills_its_command(
    runtime: ProcessRuntime, container: str, tmp_path: Path
) -> None:
    out = Taken()
    task = asyncio.create_task(run(runtime, container, "echo $$; sleep 1000", stdout=out))
    await eventually(lambda: _true(out.data.endswith(b"\n")))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    check = f"kill -0 {int(out.data)}"

    async def gone() -> bool:
        return await run(runtime, container, check) != 0

    await eventually(gone)


async def test_a_terminal_has_a_name_a_size_and_carriage_returns(
    runtime: ProcessRuntime, container: str
) -> None:
    out = Taken()
    sizes = _sizes(TerminalSize(97, 31))
    script = "test -t 0 && test -t 1 && test -t 2; sleep 0.2; stty size; tty; exit 5"
    code = await run(runtime, container, script, stdout=out, stdin=Given(ends=False), tty=True, sizes=sizes)
    assert code == 5
    assert b"31 97\r\n" in out.data
    assert b"/dev/pts/" in out.data


async def test_a_terminal_sends_its_interrupt(runtime: ProcessRuntime, container: str) -> None:
    out, keys = Taken(), Given(ends=False)
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    task = asyncio.create_task(run(runtime, container, script, stdout=out, stdin=keys, tty=True))
    await eventually(lambda: _true(b"ready" in out.data))
    keys.add(b"\x03")
    assert await task == 9
    assert b"caught" in out.data


async def test_attach_joins_input_and_output(runtime: ProcessRuntime, pods: Pods) -> None:
    container = await pods.start("echo first; cat; echo bye >&2", stdin=True, stdin_once=True)
    await pods.logged(container, "first")
    out, err = Taken(), Taken()
    async with asyncio.timeout(DEADLINE_S):
        await runtime.attach(container, Streams(Given(b"a line\n"), out, err))
    assert bytes(out.data) == b"first\na line\n"
    assert bytes(err.data) == b"bye\n"
    assert (await pods.ended(container)).exit_code == 0
    assert "a line" in log_text(await runtime.container_status(container))


async def test_input_outlives_an_attach_unless_it_is_for_one(runtime: ProcessRuntime, pods: Pods) -> None:
    container = await pods.start("read a; read b; echo $a$b", stdin=True)
    out = Taken()
    for line in (b"one\n", b"two\n"):
        task = asyncio.create_task(runtime.attach(container, Streams(Given(line), out)))
        if line == b"one\n":
            await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            await asyncio.wait_for(task, DEADLINE_S)
    assert bytes(out.data) == b"onetwo\n"


async def test_hanging_up_ends_input_for_one(runtime: ProcessRuntime, pods: Pods) -> None:
    container = await pods.start("cat; exit 6", stdin=True, stdin_once=True)
    task = asyncio.create_task(runtime.attach(container, Streams(Given(ends=False), Taken())))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await pods.ended(container)).exit_code == 6


async def test_two_are_attached_and_one_is_slow(runtime: ProcessRuntime, pods: Pods) -> None:
    container = await pods.start("read go; head -c 3000000 /dev/zero | tr '\\0' '\\n'", stdin=True)
    quick, slow, go = Taken(), Taken(delay_s=0.005), Given(ends=False)
    tasks = [
        asyncio.create_task(runtime.attach(container, Streams(go, quick))),
        asyncio.create_task(runtime.attach(container, Streams(None, slow))),
    ]
    await asyncio.sleep(0.3)
    go.add(b"\n")
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*tasks)
    assert (len(quick.data), len(slow.data)) == (3_000_000, 3_000_000)
    assert (await pods.ended(container)).exit_code == 0


async def test_attach_to_a_terminal(runtime: ProcessRuntime, pods: Pods) -> None:
    container = await pods.start("stty -echo; tty; read a; stty size; echo got $a", stdin=True, tty=True)
    await pods.logged(container, "/dev/pts")
    out = Taken()
    streams = Streams(Given(b"line\n"), out, tty=True, sizes=_sizes(TerminalSize(80, 24)))
    async with asyncio.timeout(DEADLINE_S):
        await runtime.attach(container, streams)
    assert b"got line\r\n" in out.data
    assert (await pods.ended(container)).exit_code == 0


async def test_attach_to_an_ended_container(runtime: ProcessRuntime, pods: Pods) -> None:
    ended = await pods.run("true", stdin=True)
    with pytest.raises(NotRunning):
        await runtime.attach(ended.id, Streams(stdout=Taken()))


async def _true(value: bool) -> bool:
    return value


async def _sizes(*sizes: TerminalSize) -> AsyncIterator[TerminalSize]:
    for size in sizes:
        yield size
