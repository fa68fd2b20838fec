"""One listener of the userspace proxy: UDP.

A client's datagrams belong to one flow, with a socket of its own towards one backend, until it has been silent for
FLOW_TIMEOUT_S or the backend is gone. Bounds: MAX_FLOWS flows (the one silent longest makes room), and
MAX_WAITING datagrams of a flow whose socket is not made yet (more are dropped, as a network may).
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from typing import cast

from node.proxy.balancer import Balancer
from node.proxy.rules import Backend
from node.proxy.userspace import Connect

FLOW_TIMEOUT_S = 30.0
SWEEP_INTERVAL_S = 5.0
MAX_FLOWS = 1024
MAX_WAITING = 16

Address = tuple[str, int]


class UdpListener:
    def __init__(self, balancer: Balancer, connect: Connect) -> None:
        self.balancer = balancer
        self._connect = connect
        self._transport: asyncio.DatagramTransport | None = None
        self._flows: OrderedDict[Address, _Flow] = OrderedDict()
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Front(self), sock=bound)
        self._transport = transport
        self._sweeper = loop.call_later(SWEEP_INTERVAL_S, self._sweep)

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for flow in self._flows.values():
            flow.close()
        self._flows.clear()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def received(self, data: bytes, client: Address) -> None:
        flow = self._flows.get(client)
        if flow is None or flow.closed or flow.backend not in self.balancer.rule.backends:
            flow = self._new_flow(client)
        if flow is not None:
            flow.seen_s = asyncio.get_running_loop().time()
            self._flows.move_to_end(client)
            flow.send(data)

    def answer(self, data: bytes, client: Address) -> None:
        if self._transport is not None:
            self._transport.sendto(data, client)

    def _new_flow(self, client: Address) -> _Flow | None:
        old = self._flows.pop(client, None)
        if old is not None:
            old.close()
        backend = self.balancer.pick(client[0])
        if backend is None:
            return None
        if len(self._flows) >= MAX_FLOWS:
            _, silent = self._flows.popitem(last=False)
            silent.close()
        self._flows[client] = _Flow(self, client, backend, self._connect)
        return self._flows[client]

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(SWEEP_INTERVAL_S, self._sweep)
        oldest_s = loop.time() - FLOW_TIMEOUT_S
        backends = self.balancer.rule.backends
        for client, flow in list(self._flows.items()):
            if flow.seen_s < oldest_s or flow.backend not in backends:
                flow.close()
                del self._flows[client]


class _Front(asyncio.DatagramProtocol):
    def __init__(self, owner: UdpListener) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        self._owner.received(data, cast(Address, address[:2]))


class _Flow(asyncio.DatagramProtocol):
    """Towards the backend, for one client."""

    def __init__(self, owner: UdpListener, client: Address, backend: Backend, connect: Connect) -> None:
        self.backend = backend
        self.seen_s = 0.0
        self.closed = False
        self._owner = owner
        self._client = client
        self._waiting: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._opening = asyncio.get_running_loop().create_task(self._open(connect))

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(data)

    def close(self) -> None:
        self.closed = True
        self._opening.cancel()
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        self._owner.answer(data, self._client)

    def error_received(self, error: Exception) -> None:
        """The backend refuses: the next datagram gets another one."""
        self.close()

    async def _open(self, connect: Connect) -> None:
        try:
            made = await connect(self.backend, socket.SOCK_DGRAM)
        except (OSError, TimeoutError):
            self.closed = True
            return
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=made)
        for data in self._waiting:
            self._transport.sendto(data)
        self._waiting.clear()
