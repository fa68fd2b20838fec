"""What pysyncobj is given in place of its own journal, transport and poller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pysyncobj.journal import Journal as StockJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport as StockTransport

from store.raft.codec import Message
from store.raft.log import RaftLog


class Journal(StockJournal):  # type: ignore[misc]  # the package has no types
    """What pysyncobj writes to its journal goes to our log."""

    def __init__(self, log: RaftLog) -> None:
        self._log = log

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._log.append((command, idx, term))

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        self._log.truncate(self._log.base_index + entryFrom)

    def __getitem__(self, item: Any) -> Any:
        return self._log.entries[item]

    def __len__(self) -> int:
        return len(self._log.entries)

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        self._log.set_commit(raftCommitIndex)

    def getRaftCommitIndex(self) -> int:
        return self._log.commit

    def setCurrentTerm(self, term: int, votedForNodeId: int | None) -> None:
        self._log.set_hard_state(term, votedForNodeId)

    def getCurrentTerm(self) -> int:
        return self._log.term

    def getVotedForNodeId(self) -> int | None:
        return self._log.vote

    def _destroy(self) -> None:
        pass


class Transport(StockTransport):  # type: ignore[misc]  # the package has no types
    def __init__(self, send: Callable[[Node, Message], None]) -> None:
        super().__init__(None, None, ())
        self._send = send

    @property
    def ready(self) -> bool:
        return True

    def send(self, node: Node, message: Message) -> bool:
        self._send(node, message)
        return True


class NoPoller:
    def poll(self, timeout: float) -> None:
        pass
