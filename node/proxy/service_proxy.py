"""Keeps what the node listens on equal to what Services and EndpointSlices ask for.

Changes mark their service; the marked ones are recomputed together after SYNC_DELAY_S, then the running
listeners are compared with the wanted ones: gone ones are closed, kept ones get their new backends, new ones are
opened. A listener that cannot be opened (its port is taken) is tried again every RETRY_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from control_plane.client.gvr import ENDPOINT_SLICES, SERVICES
from control_plane.client.informer import Informer, InformerFactory
from node.network.interface import Network
from node.network.namespaces import bound_socket
from node.proxy import rules
from node.proxy.balancer import Balancer
from node.proxy.host_ports import HostOwner
from node.proxy.rules import Backend, Listener, Rule, Where
from node.proxy.userspace import CONNECT_TIMEOUT_S, TcpListener
from node.proxy.userspace_udp import UdpListener
from store.component import logs

SYNC_DELAY_S = 0.01
RETRY_S = 2.0
HOST_ADDRESS = "127.0.0.1"
BY_SERVICE = "service"

Key = tuple[str, str]  # namespace, name of a Service
log = logs.get("proxy")


class Running(Protocol):
    balancer: Balancer

    async def start(self, listening: socket.socket) -> None: ...

    async def close(self) -> None: ...

    def abort(self) -> None: ...


class ServiceProxy:
    def __init__(
        self,
        informers: InformerFactory,
        network: Network,
        node_name: str,
        service_cidr: str,
        host_lock: Path | None = None,
        zone: Callable[[], str] = lambda: "",
    ) -> None:
        """`host_lock`: the file whose owner serves NodePorts on the host's loopback; None: nobody does."""
        self._network = network
        self._node_name = node_name
        self._service_cidr = service_cidr
        self._zone = zone
        self._services: Informer = informers.informer(SERVICES)
        self._slices: Informer = informers.informer(ENDPOINT_SLICES)
        self._slices.add_index(BY_SERVICE, _service_of_slice)
        self._wanted: dict[Key, dict[Listener, Rule]] = {}
        self._running: dict[Listener, Running] = {}
        self._closing: set[Running] = set()  # no longer listening, their connections go on
        self._failed: dict[Listener, str] = {}
        self._local: set[str] = set()  # outside addresses made local to the node
        self._dirty: set[Key] = set()
        self._wake = asyncio.Event()
        self._owner = HostOwner(host_lock) if host_lock is not None else None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve from now on; the informers may be started before or after."""
        await self._network.accept_local(self._service_cidr)
        self._services.add_handler(
            self._service_changed, lambda _, new: self._service_changed(new), self._service_changed
        )
        self._slices.add_handler(
            self._slice_changed, lambda _, new: self._slice_changed(new), self._slice_changed
        )
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._run()))
        if self._owner is not None:
            self._tasks.append(loop.create_task(self._owner.run(self._wake.set)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for running in (*self._running.values(), *self._closing):
            await running.close()
            running.abort()
        self._running.clear()
        self._closing.clear()

    def listeners(self) -> dict[Listener, Rule]:
        """What runs now."""
        return {listener: running.balancer.rule for listener, running in self._running.items()}

    def failures(self) -> dict[Listener, str]:
        """What cannot be listened on, and why; it is tried again."""
        return dict(self._failed)

    # events

    def _service_changed(self, service: dict[str, Any]) -> None:
        self._mark((service["metadata"]["namespace"], service["metadata"]["name"]))

    def _slice_changed(self, each: dict[str, Any]) -> None:
        for value in _service_of_slice(each):
            namespace, _, name = value.partition("/")
            self._mark((namespace, name))

    def _mark(self, key: Key) -> None:
        self._dirty.add(key)
        self._wake.set()

    # the loop

    async def _run(self) -> None:
        await asyncio.gather(self._services.wait_synced(), self._slices.wait_synced())
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    RETRY_S if self._failed else None
                ):  # wait_for can lose a cancellation
                    await self._wake.wait()
            await asyncio.sleep(SYNC_DELAY_S)
            self._wake.clear()
            try:
                await self.sync()
            except Exception:
                log.exception("sync failed")

    async def sync(self) -> None:
        dirty, self._dirty = self._dirty, set()
        where = Where(self._node_name, self._network.node_ip, self._zone())
        for key in dirty:
            self._recompute(key, where)
        await self._apply(self._merged())

    def _recompute(self, key: Key, where: Where) -> None:
        service = self._services.get(*key)
        slices = self._slices.by_index(BY_SERVICE, "/".join(key))
        found = rules.for_service(service, slices, where) if service is not None else {}
        if found:
            self._wanted[key] = found
        else:
            self._wanted.pop(key, None)

    def _merged(self) -> dict[Listener, Rule]:
        """When two services want the same address and port, the first by name has it."""
        merged: dict[Listener, Rule] = {}
        for key in sorted(self._wanted):
            for listener, rule in self._wanted[key].items():
                if not listener.on_host or self._serves_host():
                    merged.setdefault(listener, rule)
        return merged

    def _serves_host(self) -> bool:
        """On the loopback network the node's own address may be the host's already."""
        return self._owner is not None and self._owner.owns and self._network.node_ip != HOST_ADDRESS

    async def _apply(self, wanted: dict[Listener, Rule]) -> None:
        for listener in [each for each in self._running if each not in wanted]:
            await self._close(self._running.pop(listener))
        self._failed = {listener: why for listener, why in self._failed.items() if listener in wanted}
        for listener, rule in wanted.items():
            running = self._running.get(listener)
            if running is not None:
                running.balancer.update(rule)
            else:
                await self._open(listener, rule)

    async def _close(self, running: Running) -> None:
        await running.close()
        self._closing = {each for each in self._closing if _has_connections(each)}
        if _has_connections(running):
            self._closing.add(running)

    async def _open(self, listener: Listener, rule: Rule) -> None:
        balancer = Balancer(rule, asyncio.get_running_loop().time)
        kind: type[TcpListener] | type[UdpListener]
        kind = TcpListener if listener.protocol == "TCP" else UdpListener
        running = kind(balancer, self._connect)
        try:
            listening = await self._socket(listener)
            try:
                await running.start(listening)
            except OSError:
                listening.close()
                raise
        except OSError as error:
            if self._failed.get(listener) != str(error):
                log.warning("cannot listen", service=rule.service, listener=str(listener), error=str(error))
            self._failed[listener] = str(error)
            return
        self._failed.pop(listener, None)
        self._running[listener] = running

    async def _socket(self, listener: Listener) -> socket.socket:
        kind = socket.SOCK_STREAM if listener.protocol == "TCP" else socket.SOCK_DGRAM
        if listener.on_host:
            return bound_socket(listener.address, listener.port, kind)
        try:
            return await self._network.listen(listener.address, listener.port, kind)
        except OSError:
            if listener.address in self._local or listener.address == self._network.node_ip:
                raise
        await self._network.accept_local(f"{listener.address}/32")  # an external address
        self._local.add(listener.address)
        return await self._network.listen(listener.address, listener.port, kind)

    async def _connect(self, backend: Backend, kind: socket.SocketKind) -> socket.socket:
        return await self._network.connect(backend.address, backend.port, kind, timeout_s=CONNECT_TIMEOUT_S)


def _has_connections(running: Running) -> bool:
    return isinstance(running, TcpListener) and bool(running.connections)


def _service_of_slice(each: dict[str, Any]) -> list[str]:
    metadata = each["metadata"]
    name = (metadata.get("labels") or {}).get(rules.SERVICE_NAME_LABEL)
    return [f"{metadata['namespace']}/{name}"] if name else []
