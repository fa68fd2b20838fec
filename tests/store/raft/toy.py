"""A state machine to test with: a list of commands and a counter of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgpack

from store.raft.interface import Loading

CHUNK = 64 * 1024


class View:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), CHUNK):
            yield self._data[start : start + CHUNK]


class Toy:
    """Result of a command: how many there are now. `boom` raises."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.counts: Counter[bytes] = Counter()
        self.indexes: list[int] = []
        self.restores = 0

    def apply(self, index: int, commands: Sequence[bytes]) -> Sequence[Any]:
        assert not self.indexes or index > self.indexes[-1]
        self.indexes.append(index)
        results = []
        for command in commands:
            if command == b"boom":
                raise RuntimeError("boom")
            self.commands.append(command)
            self.counts[command] += 1
            results.append(len(self.commands))
        return results

    def snapshot(self) -> View:
        return View(msgpack.packb(self.commands))

    def restore(self, chunks: Iterable[bytes]) -> None:
        commands = msgpack.unpackb(b"".join(chunks))
        self._put_in_place(commands)

    def load(self, chunks: Iterable[bytes]) -> Loading:
        pieces = []
        for piece in chunks:
            pieces.append(piece)
            yield
        commands = msgpack.unpackb(b"".join(pieces))
        return lambda: self._put_in_place(commands)

    def _put_in_place(self, commands: list[bytes]) -> None:
        self.commands = commands
        self.counts = Counter(commands)
        self.indexes = []
        self.restores += 1
