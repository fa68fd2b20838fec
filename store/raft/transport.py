"""Messages between members over mutual TLS: one connection for each pair.

The member with the smaller id dials, and dials again when the connection is gone. Who the peer is, is what its
certificate says: the common name must be the name of a member, and the greeting that both sides send first must
name the same cluster and that member's id (a member that was removed and came back under its old name is another
one). Anything else, and any frame that does not decode, closes the connection.

`send` never blocks and never buffers without bound: behind `outbox_bytes` of unsent data the connection is dropped,
and replication begins again from what was acknowledged. What is lost with a connection is lost, as Raft expects.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgpack

from store.component import logs
from store.component.data_protocol import DataProtocol
from store.raft.codec import LENGTH, PROTOCOL_VERSION, FrameReader, Message, decode, encode
from store.raft.errors import ProtocolError
from store.raft.interface import Member
from store.raft.measured import PeerStats
from store.raft.membership import Membership

DIAL_TIMEOUT_S = 3.0
REDIAL_S = 0.1
GREETING_TIMEOUT_S = 5.0
DEAD_PEER_TIMEOUT_MS = 10_000
"""Data that a peer's kernel does not acknowledge for so long ends the connection (a machine that lost power)."""
PING_INTERVAL_S = 2.0
"""Between measurements of the round trip to each peer."""
MAX_STRANGERS = 64
"""Connections that have not greeted yet; more are closed at once."""

_log = logs.get("store.raft.transport")


class Receiver(Protocol):
    """Who gets what arrives. Called from the event loop."""

    def on_connected(self, peer: int) -> None: ...

    def on_disconnected(self, peer: int) -> None: ...

    def on_message(self, peer: int, message: Message) -> None: ...


class Transport(Protocol):
    """What the engine needs of a network; a simulation has one of its own."""

    faults: PartitionFaults

    async def start(self, receiver: Receiver) -> None: ...

    async def stop(self) -> None: ...

    def set_members(self, members: Mapping[int, Member]) -> None: ...

    def send(self, peer: int, message: Message) -> bool:
        """False when it certainly did not leave."""


class PartitionFaults:
    """Peers that are cut off, by name: messages to or from them disappear, connections stay."""

    def __init__(self) -> None:
        self.dropped_to: set[str] = set()
        self.dropped_from: set[str] = set()

    def cut(self, names: Sequence[str]) -> None:
        """Both directions."""
        self.dropped_to.update(names)
        self.dropped_from.update(names)

    def heal(self) -> None:
        self.dropped_to.clear()
        self.dropped_from.clear()


class _Link(DataProtocol):
    """One connection; the peer is a stranger until it has greeted."""

    def __init__(self, owner: PeerTransport) -> None:
        self.owner = owner
        self.peer: Member | None = None
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self.stats = PeerStats()  # its peer's, once it is known
        self.pinged: tuple[int, float] | None = None  # the ping that is not answered yet, and when it left
        self._reader = FrameReader()
        self._greeting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # uvloop's is no subclass
        _tune(transport.get_extra_info("socket"))
        self.owner._greet(self)
        self._greeting = asyncio.get_running_loop().call_later(GREETING_TIMEOUT_S, self.abort)

    def data_received(self, data: bytes) -> None:
        self.stats.received_bytes += len(data)
        try:
            for body in self._reader.feed(data):
                self._receive(decode(body))
        except ProtocolError as error:
            _log.warning("closing a peer's connection", peer=self._name(), why=str(error))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.greeted()
        self.owner._lost(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def greeted(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None

    def abort(self) -> None:
        if self.transport is not None:
            with contextlib.suppress(AttributeError):  # asyncio's own, of TLS, when it was closed twice
                self.transport.abort()

    def common_name(self) -> str:
        certificate = self.transport.get_extra_info("peercert") if self.transport is not None else None
        pairs = [pair for part in (certificate or {}).get("subject", ()) for pair in part]
        return str(dict(pairs).get("commonName", ""))

    def _receive(self, message: Message) -> None:
        if self.peer is None:
            self.owner._introduce(self, message)
        elif message["type"] == "hello":
            raise ProtocolError("a second greeting")
        elif message["type"] == "ping":
            self.write({"type": "pong", "number": message["number"]})
        elif message["type"] == "pong":
            self._on_pong(message["number"])
        else:
            self.owner._deliver(self.peer, message)

    def ping(self, number: int, now: float) -> None:
        """Ask for a pong, unless one is still to come."""
        if self.pinged is None:
            self.pinged = (number, now)
            self.write({"type": "ping", "number": number})

    def write(self, message: Message) -> None:
        if self.transport is not None:
            self.transport.write(encode(message))

    def _on_pong(self, number: int) -> None:
        if self.pinged is not None and self.pinged[0] == number:
            self.stats.round_trips.observe(asyncio.get_running_loop().time() - self.pinged[1])
            self.pinged = None

    def _name(self) -> str:
        return self.peer.name if self.peer is not None else self.common_name()


class PeerTransport:
    def __init__(
        self,
        member_id: int,
        cluster_id: int,
        server_tls: ssl.SSLContext,
        client_tls: ssl.SSLContext,
        listen_urls: Sequence[str],
        listen_sockets: Sequence[socket.socket] = (),
        outbox_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self.faults = PartitionFaults()
        self._member_id = member_id
        self._cluster_id = cluster_id
        self._server_tls = server_tls
        self._client_tls = client_tls
        self._listen_urls = listen_urls
        self._listen_sockets = listen_sockets
        self._outbox_bytes = outbox_bytes
        self._members: Mapping[int, Member] = {}
        self._links: dict[int, _Link] = {}
        self._strangers: set[_Link] = set()
        self._dialers: dict[int, asyncio.Task[None]] = {}
        self._servers: list[asyncio.Server] = []
        self._receiver: Receiver | None = None
        self._last_frame: tuple[Message, bytes] | None = None
        self._pings = 0
        self._pinging: asyncio.TimerHandle | None = None
        self.stats: dict[int, PeerStats] = {}
        """Of the members that are there, by id."""

    async def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        loop = asyncio.get_running_loop()
        places: list[dict[str, Any]] = [{"sock": each} for each in self._listen_sockets]
        if not places:
            places = [dict(zip(("host", "port"), address(url), strict=True)) for url in self._listen_urls]
        for place in places:
            server = await loop.create_server(
                lambda: _Link(self), ssl=self._server_tls, ssl_handshake_timeout=GREETING_TIMEOUT_S, **place
            )
            self._servers.append(server)
        self.set_members(self._members)
        self._ping()

    def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        self._pinging = loop.call_later(PING_INTERVAL_S, self._ping)
        self._pings += 1
        for link in self._links.values():
            if link.peer is not None and link.peer.name not in self.faults.dropped_to:
                link.ping(self._pings, loop.time())

    async def stop(self) -> None:
        self._receiver = None
        if self._pinging is not None:
            self._pinging.cancel()
        for server in self._servers:
            server.close()
        tasks = list(self._dialers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        links = [*self._links.values(), *self._strangers]
        for link in links:
            if link.transport is not None:
                link.transport.close()
        if links:
            await asyncio.wait([link.closed for link in links], timeout=1.0)
        for link in links:
            link.abort()
        self._dialers.clear()

    def set_members(self, members: Mapping[int, Member]) -> None:
        """Connect to new members; part with removed ones."""
        before, self._members = self._members, members
        others = (each for each in members if each != self._member_id)
        self.stats = {each: self.stats.get(each) or PeerStats() for each in others}
        if self._receiver is None:
            return
        for peer in [each for each in self._dialers if self._dials_anew(each, before)]:
            self._dialers.pop(peer).cancel()
        for peer in [each for each in self._links if each not in members]:
            self._links[peer].abort()
        for peer in members:
            if self._member_id < peer and peer not in self._dialers:
                self._dialers[peer] = asyncio.ensure_future(self._keep_connected(members[peer]))

    def send(self, peer: int, message: Message) -> bool:
        link = self._links.get(peer)
        if link is None or link.transport is None or link.peer is None:
            if peer in self.stats:
                self.stats[peer].failures += 1
            return False
        if link.peer.name in self.faults.dropped_to:
            return True
        if self._last_frame is not None and self._last_frame[0] is message:
            frame = self._last_frame[1]
        else:
            frame = encode(message)
            self._last_frame = (message, frame)
        if link.transport.get_write_buffer_size() + len(frame) > self._outbox_bytes + LENGTH.size:
            _log.warning("a peer does not read; dropping its connection", peer=link.peer.name)
            link.stats.failures += 1
            link.abort()
            return False
        link.transport.write(frame)
        link.stats.sent_bytes += len(frame)
        return True

    def sent(self) -> None:
        """A turn's messages are out: keep no reference to the last one."""
        self._last_frame = None

    def _dials_anew(self, peer: int, before: Mapping[int, Member]) -> bool:
        known, now = before.get(peer), self._members.get(peer)
        return known is None or now is None or known.peer_urls != now.peer_urls

    async def _keep_connected(self, member: Member) -> None:
        turn = 0
        while True:
            url = member.peer_urls[turn % len(member.peer_urls)]
            turn += 1
            try:
                link = await self._dial(url)
            except (OSError, ssl.SSLError) as error:
                _log.debug("cannot reach a peer", peer=member.name, url=url, why=str(error))
            else:
                try:
                    await asyncio.shield(link.closed)
                finally:
                    link.abort()
            await asyncio.sleep(REDIAL_S)

    async def _dial(self, url: str) -> _Link:
        host, port = address(url)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            _, link = await loop.create_connection(
                lambda: _Link(self), host, port, ssl=self._client_tls, server_hostname=host
            )
        return link

    def _greet(self, link: _Link) -> None:
        self._strangers.add(link)
        if len(self._strangers) > MAX_STRANGERS or self._receiver is None:
            link.abort()
            return
        hello = {
            "type": "hello",
            "version": PROTOCOL_VERSION,
            "cluster_id": self._cluster_id,
            "member_id": self._member_id,
        }
        assert link.transport is not None
        link.transport.write(encode(hello))

    def _introduce(self, link: _Link, message: Message) -> None:
        """A greeting: from now on the connection speaks for a member. Raises ProtocolError."""
        if message["type"] == "members_request":
            self._tell_members(link)
            return
        name = link.common_name()
        if message["type"] != "hello" or message["version"] != PROTOCOL_VERSION:
            raise ProtocolError(f"{message['type']} instead of a greeting of version {PROTOCOL_VERSION}")
        if message["cluster_id"] != self._cluster_id:
            raise ProtocolError(
                f"a member of cluster {message['cluster_id']:x}; this is {self._cluster_id:x}"
            )
        member = self._members.get(message["member_id"])
        if member is None or member.id == self._member_id:
            raise ProtocolError(f"{message['member_id']:x} is not another member of this cluster")
        if (member.name or name) != name or self._is_anothers(name, member.id):
            raise ProtocolError(f"the certificate says {name!r}, but member {member.id:x} is {member.name!r}")
        link.greeted()
        link.stats = self.stats[member.id]
        link.peer = replace(member, name=name)  # a member that was added and never started has no name yet
        self._strangers.discard(link)
        old = self._links.pop(member.id, None)
        if old is not None:
            old.abort()
            self._notify_disconnected(member.id)
        self._links[member.id] = link
        if self._receiver is not None:
            self._receiver.on_connected(member.id)

    def _tell_members(self, link: _Link) -> None:
        """The store's CA vouches for who asks; it wants to join and will greet once it knows whom."""
        members: bytes = msgpack.packb(Membership(self._members).pack())
        reply = {"type": "members_reply", "cluster_id": self._cluster_id, "members": members}
        assert link.transport is not None
        link.transport.write(encode(reply))

    def _is_anothers(self, name: str, member_id: int) -> bool:
        return any(each.name == name and each.id != member_id for each in self._members.values())

    def _deliver(self, peer: Member, message: Message) -> None:
        if self._receiver is not None and peer.name not in self.faults.dropped_from:
            self._receiver.on_message(peer.id, message)

    def _lost(self, link: _Link) -> None:
        self._strangers.discard(link)
        if link.peer is not None and self._links.get(link.peer.id) is link:
            del self._links[link.peer.id]
            self._notify_disconnected(link.peer.id)

    def _notify_disconnected(self, peer: int) -> None:
        if self._receiver is not None:
            self._receiver.on_disconnected(peer)


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"{url!r} is not a URL with host and port")
    return parts.hostname, parts.port


def _tune(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_TIMEOUT_MS)
