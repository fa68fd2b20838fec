"""exec and attach of the `process` runtime: the caller's streams joined to descriptors that the shim works with.

    exec          three pipes of ours; the shim gives the far ends to the command
    exec, tty     a terminal opened inside the container; the shim sends us its master
    attach        two pipes of ours, to which the shim copies the output; it sends us where to write the input

The shim knows by the connection that somebody waits: closing it kills the command, and detaches.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

from node.runtime.interface import Sink, Streams
from node.runtime.process import pumps
from node.runtime.process.shim_client import Conversation, ShimClient

Work = Coroutine[Any, Any, None]


class _Ends:
    """Descriptors of one exec or attach: ours, and those that go to the shim."""

    def __init__(self) -> None:
        self._ours: set[int] = set()
        self.theirs: list[int] = []

    def pipe_in(self) -> int:
        reader, writer = os.pipe()
        self.theirs.append(reader)
        return self.ours(writer)

    def pipe_out(self) -> int:
        reader, writer = os.pipe()
        self.theirs.append(writer)
        return self.ours(reader)

    def null(self, flags: int) -> None:
        self.theirs.append(os.open(os.devnull, flags | os.O_CLOEXEC))

    def ours(self, fd: int) -> int:
        os.set_blocking(fd, False)
        self._ours.add(fd)
        return fd

    def close(self, fd: int) -> None:
        if fd in self._ours:
            self._ours.discard(fd)
            os.close(fd)

    def handed_over(self) -> None:
        for fd in self.theirs:
            os.close(fd)
        self.theirs.clear()

    def close_all(self) -> None:
        self.handed_over()
        for fd in list(self._ours):
            self.close(fd)


@contextlib.contextmanager
def _ends() -> Iterator[_Ends]:
    made = _Ends()
    try:
        yield made
    finally:
        made.close_all()


async def exec_(shim: ShimClient, container_id: str, command: Sequence[str], streams: Streams) -> int:
    with _ends() as ends:
        ended = asyncio.Event()
        works: list[Work] = []  # that must finish
        feeds: list[Work] = []  # that end with the command
        if not streams.tty:
            _plain(ends, streams, ended, works, feeds)
        fields = {"cid": container_id, "argv": list(command), "tty": streams.tty}
        conversation = _begin(shim, "exec", ends, works + feeds, fields)
        try:
            if streams.tty:
                _, fds = await conversation.receive()
                _on_terminal(ends.ours(fds[0]), streams, ended, works, feeds)
            code = asyncio.ensure_future(_exit_code(conversation, ended))
            await _run([code, *_started(works)], _started(feeds))
            return await code
        finally:
            conversation.close()


def _plain(ends: _Ends, streams: Streams, ended: asyncio.Event, works: list[Work], feeds: list[Work]) -> None:
    if streams.stdin is not None:
        feeds.append(_feed(ends, streams, ends.pipe_in()))
    else:
        ends.null(os.O_RDONLY)
    for sink in (streams.stdout, streams.stderr):
        if sink is not None:
            works.append(pumps.out_of(ends.pipe_out(), sink, ended, is_terminal=False))
        else:
            ends.null(os.O_WRONLY)


async def _feed(ends: _Ends, streams: Streams, fd: int) -> None:
    assert streams.stdin is not None
    await pumps.into(streams.stdin, fd)
    ends.close(fd)


def _on_terminal(
    master: int, streams: Streams, ended: asyncio.Event, works: list[Work], feeds: list[Work]
) -> None:
    works.append(pumps.out_of(master, streams.stdout or _Nowhere(), ended, is_terminal=True))
    if streams.stdin is not None:
        feeds.append(pumps.into(streams.stdin, master))
    if streams.sizes is not None:
        feeds.append(pumps.resize(master, streams.sizes))


async def _exit_code(conversation: Conversation, ended: asyncio.Event) -> int:
    answer, _ = await conversation.receive()
    ended.set()
    return int(answer["exit_code"])


async def attach(shim: ShimClient, container_id: str, streams: Streams) -> None:
    with _ends() as ends:
        wanted: list[tuple[str, Sink]] = []
        if streams.stdout is not None:
            wanted.append(("stdout", streams.stdout))
        if streams.stderr is not None and not streams.tty:
            wanted.append(("stderr", streams.stderr))
        never = asyncio.Event()  # the shim closes its ends when all is written
        works = [pumps.out_of(ends.pipe_out(), sink, never, is_terminal=False) for _, sink in wanted]
        outputs = [name for name, _ in wanted]
        fields = {"cid": container_id, "outputs": outputs, "stdin": streams.stdin is not None}
        conversation = _begin(shim, "attach", ends, works, fields)
        try:
            _, fds = await _or_close(conversation.receive(), works)
            feeds: list[Work] = []
            if fds:
                _input(ends, ends.ours(fds[0]), container_id, conversation, streams, feeds)
            elif streams.stdin is not None:
                feeds.append(pumps.nowhere(streams.stdin))
            over = asyncio.ensure_future(conversation.receive())
            await _run([over, *_started(works)], _started(feeds))
        finally:
            conversation.close()


def _input(
    ends: _Ends, fd: int, container_id: str, conversation: Conversation, streams: Streams, feeds: list[Work]
) -> None:
    async def feed() -> None:
        await _feed(ends, streams, fd)
        conversation.tell("close_stdin", cid=container_id)

    if streams.tty:
        assert streams.stdin is not None
        feeds.append(pumps.into(streams.stdin, fd))
        if streams.sizes is not None:
            feeds.append(pumps.resize(fd, streams.sizes))
    else:
        feeds.append(feed())


def _begin(shim: ShimClient, op: str, ends: _Ends, works: list[Work], fields: dict[str, Any]) -> Conversation:
    try:
        conversation = shim.converse(op, ends.theirs, **fields)
    except BaseException:
        for work in works:
            work.close()
        raise
    ends.handed_over()  # ours would keep the pipes open
    return conversation


async def _or_close(answer: Coroutine[Any, Any, Any], works: list[Work]) -> Any:
    try:
        return await answer
    except BaseException:
        for work in works:
            work.close()
        raise


def _started(works: list[Work]) -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(work) for work in works]


async def _run(needed: list[asyncio.Future[Any]], feeds: list[asyncio.Future[Any]]) -> None:
    """Until all `needed` have ended; the first error ends it. Nothing is left running."""
    every = [*needed, *feeds]
    try:
        waiting = set(every)
        while not all(each.done() for each in needed):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
    finally:
        for each in every:
            each.cancel()
        await asyncio.gather(*every, return_exceptions=True)


class _Nowhere:
    async def write(self, data: bytes) -> None: ...
