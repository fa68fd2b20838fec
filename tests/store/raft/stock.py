"""The unmodified package, stepped by hand: a virtual clock and messages that the test delivers.

Only to show that the scenarios of `test_defects` are real: what is here is *not* how the engine uses pysyncobj.
"""

from __future__ import annotations

import pickle
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pysyncobj.syncobj as stock
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport


class Memory(Transport):
    def __init__(self, owner: Any, me: Node, others: Any) -> None:
        super().__init__(owner, me, others)
        self.owner, self.name = owner, me.id
        StockCluster.current.transports[me.id] = self

    @property
    def ready(self) -> bool:
        return True

    def send(self, node: Node, message: Any) -> bool:
        if node in self.owner._SyncObj__connectedNodes:
            StockCluster.current.send(self.name, node.id, message)
            return True
        return False


class Items(SyncObj):
    def __init__(self, name: str, others: Iterable[str], conf: SyncObjConf) -> None:
        others = [Node(each) for each in others]
        super().__init__(Node(name), others, conf, nodeClass=Node, transportClass=Memory)
        self.items: list[Any] = []

    @replicated
    def append(self, item: str, padding: bytes = b"") -> int:
        self.items.append(item)
        return len(self.items)

    @replicated
    def poison(self, item: str) -> None:
        self.items.append(item)
        raise ValueError(item)


class StockCluster:
    current: StockCluster

    def __init__(self, names: str, **conf: Any) -> None:
        StockCluster.current = self
        self.now = 1000.0
        self.transports: dict[str, Memory] = {}
        self.queues: dict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self.held: set[tuple[str, str]] = set()
        self.cut: set[tuple[str, str]] = set()
        self.nodes = {
            name: Items(
                name,
                [each for each in names if each != name],
                SyncObjConf(autoTick=False, appendEntriesUseBatch=True, **conf),
            )
            for name in names
        }
        for one in names:
            for other in names:
                if one < other:
                    self.connect(one, other)

    def send(self, source: str, target: str, message: Any) -> None:
        if (source, target) not in self.cut:
            self.queues[source, target].append(pickle.dumps(message))

    def connect(self, one: str, other: str) -> None:
        self.transports[one]._onNodeConnected(Node(other))
        self.transports[other]._onNodeConnected(Node(one))

    def disconnect(self, one: str, other: str) -> None:
        for source, target in ((one, other), (other, one)):
            self.queues[source, target].clear()
            self.transports[source]._onNodeDisconnected(Node(target))

    def deliver(self, only: Iterable[tuple[str, str]] | None = None, count: int = 1 << 30) -> None:
        for link in list(self.queues) if only is None else only:
            queue = self.queues[link]
            while queue and count > 0 and link not in self.held:
                count -= 1
                message = pickle.loads(queue.popleft())
                if link[1] in self.transports:
                    self.transports[link[1]]._onMessageReceived(Node(link[0]), message)

    def tick(self, names: Iterable[str], step_s: float = 0.02) -> None:
        self.now += step_s
        for name in names:
            self.nodes[name].doTick(0)

    def run(self, names: Iterable[str], seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.tick(names)
            self.deliver()

    def elect(self, name: str, voters: str) -> Items:
        for each in voters:
            self.nodes[each]._SyncObj__raftElectionDeadline = self.now + 50
        self.nodes[name]._SyncObj__raftElectionDeadline = self.now - 1
        self.nodes[name].doTick(0)
        self.run(voters, 0.1)
        assert self.nodes[name]._isLeader()
        return self.nodes[name]


@contextmanager
def stock_cluster(names: str, **conf: Any) -> Iterator[StockCluster]:
    clock = stock.monotonicTime
    stock.monotonicTime = lambda: StockCluster.current.now
    try:
        yield StockCluster(names, **conf)
    finally:
        stock.monotonicTime = clock
