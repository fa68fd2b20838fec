"""Bytes between a process's descriptors and the caller's streams, on the event loop. Descriptors are
non-blocking."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator

from node.runtime.interface import Sink, Source, TerminalSize

READ_BYTES = 64 * 1024
TERMINAL_DRAIN_S = 1.0  # the last output of a terminal comes a little after the exit of its process


async def into(source: Source, fd: int) -> None:
    """Write all of `source` to `fd`. What the process no longer reads is taken and thrown away: who sends it
    must not be held up by it."""
    is_open = True
    while data := await source.read():
        if is_open:
            try:
                await _write_all(fd, data)
            except OSError:
                is_open = False


async def nowhere(source: Source) -> None:
    while await source.read():
        pass


async def out_of(fd: int, sink: Sink, ended: asyncio.Event, is_terminal: bool) -> None:
    """Hand on what `fd` brings until its end, or, once the process has ended, what it had written by then:
    others that it left behind may hold the pipe open for ever."""
    drained = False
    while True:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            if drained:
                return
            if ended.is_set():
                drained = not (is_terminal and await _readable_within(fd, TERMINAL_DRAIN_S))
            else:
                await _readable_or(fd, ended)
            continue
        except OSError:  # EIO: nobody holds the other side of the terminal
            return
        if not data:
            return
        await sink.write(data)


async def resize(fd: int, sizes: AsyncIterator[TerminalSize]) -> None:
    async for size in sizes:
        width, height = min(size.width, 0xFFFF), min(size.height, 0xFFFF)
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


async def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _writable(fd)


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)


async def _readable_or(fd: int, ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    ending = asyncio.ensure_future(ended.wait())
    ending.add_done_callback(lambda _: ready.set())
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
        ending.cancel()


async def _readable_within(fd: int, timeout_s: float) -> bool:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        async with asyncio.timeout(timeout_s):
            await ready.wait()
        return True
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
