"""What a turn wants to send, held back until its sync; only what promises nothing of this member goes early."""

from __future__ import annotations

from collections.abc import Callable

from store.raft.codec import Message

EARLY = frozenset({"append_entries", "snapshot_chunk"})


class Outbox:
    def __init__(self, transmit: Callable[[int, Message], bool]) -> None:
        self.transmit = transmit
        self._messages: list[tuple[int, Message]] = []

    def send(self, peer: int, message: Message) -> None:
        self._messages.append((peer, message))

    def flush_early(self) -> bool:
        """Says whether anything left."""
        messages, self._messages = self._messages, []
        for peer, message in messages:
            if message["type"] in EARLY:
                self.transmit(peer, message)
            else:
                self._messages.append((peer, message))
        return len(self._messages) < len(messages)

    def flush(self) -> bool:
        """Says whether anything left."""
        messages, self._messages = self._messages, []
        for peer, message in messages:
            self.transmit(peer, message)
        return bool(messages)
