"""Runtime events: who subscribed hears that a sandbox changed, once however often it did since it last looked.

What is pending is a set of sandboxes, so its size is bounded by their number and nothing is ever lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from node.runtime.interface import RuntimeEvent


class Events:
    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()

    def publish(self, event: RuntimeEvent) -> None:
        for subscriber in self._subscribers:
            subscriber.pending[event] = None
            subscriber.wake.set()

    def close(self) -> None:
        for subscriber in self._subscribers:
            subscriber.closed = True
            subscriber.wake.set()

    def subscribe(self) -> AsyncIterator[RuntimeEvent]:
        """Subscribed from the call on, not from the first iteration."""
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        return self._iterate(subscriber)

    async def _iterate(self, subscriber: _Subscriber) -> AsyncIterator[RuntimeEvent]:
        try:
            while not subscriber.closed:
                await subscriber.wake.wait()
                subscriber.wake.clear()
                pending, subscriber.pending = subscriber.pending, {}
                for event in pending:
                    yield event
        finally:
            self._subscribers.discard(subscriber)


class _Subscriber:
    def __init__(self) -> None:
        self.pending: dict[RuntimeEvent, None] = {}
        self.wake = asyncio.Event()
        self.closed = False
