"""`RaftNode`: a replica driven by asyncio, with real connections, a real clock and a real disk.

`turns` runs it in the event loop, `background` writes and installs its snapshots; here is its life from start to
stop, and what may be asked of it.

An error in a turn or in the background (the disk failed, an invariant broke, the state machine raised) ends the
member: who waits is told, and `wait_stopped` returns the error for the process to exit with. Nothing is retried:
after a failed sync nobody knows what is on the disk.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from store.component import logs
from store.raft.background import Background
from store.raft.config import RaftConfig
from store.raft.discovery import discover
from store.raft.disk import Disk, FaultyDisk
from store.raft.interface import (
    Member,
    MembershipError,
    NotLeader,
    OutcomeUnknown,
    RaftError,
    RaftStatus,
    StateMachine,
    Stopped,
)
from store.raft.membership import Change, Membership, Operation
from store.raft.replica import Replica
from store.raft.storage import Storage, has_log, lock_directory, open_storage
from store.raft.transport import PeerTransport, Transport
from store.raft.turns import Turns

DRAIN_S = 1.0
"""How long `stop` waits for what is in flight."""

_log = logs.get("store.raft")


class RaftNode:
    """An `Engine` (see `interface`)."""

    def __init__(
        self,
        config: RaftConfig,
        machine: StateMachine,
        transport: Transport | None = None,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.disk: Disk = disk or FaultyDisk()
        self._config = config
        self._machine = machine
        self._given_transport = transport
        self._clock = clock
        self._rng = rng or random.Random(os.urandom(16))  # noqa: S311  # timeouts and names, no secrets
        self._failure: BaseException | None = None
        self._stopping = False
        self._stopped = asyncio.Event()
        self._lock: int | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._leadership: list[Callable[[bool], None]] = []

    # Life

    async def start(self) -> None:
        """Load what is on the disk, listen, and take part. Raises StorageError, OSError, leaving nothing open."""
        if self._given_transport is None:
            self._lock = lock_directory(self._config.data_dir)
        try:
            await self._begin()
        except BaseException:
            self._unlock()
            raise

    async def _begin(self) -> None:
        if self._config.existing and self._config.join is None and not has_log(self._config, self.disk):
            self._config = replace(self._config, join=await discover(self._config))
        self._storage = open_storage(self._config, self.disk)
        try:
            if self._storage.snapshot is not None:
                self._machine.restore(self._storage.snapshots.chunks(self._storage.snapshot))
            self.transport = self._given_transport or self._make_transport(self._storage)
            self._make_replica()
            self._members_changed(self._replica.membership)
            await self.transport.start(self._replica)
        except BaseException:
            self._storage.log.wal.close()
            raise
        if self._config.advertise_client_urls:
            self._publishing = asyncio.ensure_future(self._publish())
        self._turns.wake()

    def _make_replica(self) -> None:
        replica = self._replica = Replica(
            self._config,
            self._storage,
            self._machine,
            self.transport.send,
            self._clock,
            self._rng,
            lambda: self._turns.wake(),
        )
        replica.leadership.callbacks = self._leadership
        replica.on_members = self._members_changed
        self._turns = Turns(replica, self._config, self._clock, lambda: self._background.look(), self._fail)
        self._background = Background(
            replica,
            self._machine,
            self._storage.snapshots,
            self._turns,
            self._config.limits.snapshot_bytes_per_s,
            self._fail,
        )

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def stop(self) -> None:
        if self._stopping:
            await self._stopped.wait()
            return
        if self._failure is None:
            with suppress(TimeoutError, Stopped):
                async with asyncio.timeout(DRAIN_S + self._config.election_timeout_s):
                    await self._hand_over_and_drain()
        self._stopping = True
        await self._turns.stop()
        await self._background.stop()
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)
        await self.transport.stop()
        if self._failure is None:
            self._replica.abandon(Stopped("the member is stopping"), OutcomeUnknown("the member is stopping"))
        self._replica.close()
        self._unlock()
        self._stopped.set()

    async def wait_stopped(self) -> BaseException | None:
        """Until the member stopped or failed; returns why it failed. `stop` is still to be called."""
        await self._stopped.wait()
        return self._failure

    # Requests

    async def propose(self, command: bytes, timeout_s: float = 5.0) -> Any:
        return await self._submit(command, None, timeout_s)

    async def read_index(self, timeout_s: float = 5.0) -> int:
        self._check_running()
        future = asyncio.get_running_loop().create_future()
        self._replica.requests.reads.submit(self._clock() + timeout_s, _answer(future))
        self._turns.wake()
        index: int = await future
        return index

    def status(self) -> RaftStatus:
        return self._replica.status()

    def on_leadership(self, callback: Callable[[bool], None]) -> None:
        self._leadership.append(callback)

    async def transfer_leadership(self, to_member_id: int) -> None:
        """Raises NotLeader, MembershipError."""
        self._check_running()
        replica = self._replica
        if not replica.core.is_leader:
            raise NotLeader("this member does not lead")
        if to_member_id == replica.status().member_id:
            return
        if to_member_id not in replica.membership.voters:
            raise MembershipError("bad leader transferee")
        replica.transfer(to_member_id, self._clock() + self._config.election_timeout_s)
        while replica.leadership.transferring and self._failure is None and not self._stopping:
            await self._turns.next()
        if replica.core.is_leader:
            raise MembershipError("the member did not take over in time")

    async def add_member(self, member: Member) -> None:
        await self._submit(b"", Change(Operation.ADD, member))

    async def promote_member(self, member_id: int) -> None:
        await self._submit(b"", Change(Operation.PROMOTE, self._known(member_id)))

    async def remove_member(self, member_id: int) -> None:
        await self._submit(b"", Change(Operation.REMOVE, self._known(member_id)))

    async def update_member(self, member: Member) -> None:
        await self._submit(b"", Change(Operation.UPDATE, member))

    async def _submit(self, command: bytes, change: Change | None, timeout_s: float = 5.0) -> Any:
        self._check_running()
        future = asyncio.get_running_loop().create_future()
        self._replica.requests.proposals.submit(command, self._clock() + timeout_s, _answer(future), change)
        self._turns.wake()
        return await future

    def _known(self, member_id: int) -> Member:
        member = self._replica.membership.members.get(member_id)
        if member is None:
            raise MembershipError("member not found")
        return member

    def _check_running(self) -> None:
        if self._stopping or self._failure is not None:
            raise Stopped(
                "the member is stopping" if self._failure is None else f"the member failed: {self._failure}"
            )

    def _fail(self, error: BaseException) -> None:
        if self._failure is not None:
            return
        self._failure = error
        self._turns.end()
        _log.error("the member failed", why=f"{type(error).__name__}: {error}")
        self._replica.abandon(
            Stopped(f"the member failed: {error}"), OutcomeUnknown(f"the member failed: {error}")
        )
        self._stopped.set()

    # Members

    def _members_changed(self, membership: Membership) -> None:
        self.transport.set_members(membership.members)
        if self._replica.removed:
            _log.warning("this member was removed from the cluster")

    async def _publish(self) -> None:
        """Tell the cluster where this member's clients reach it, until it knows."""
        urls = tuple(self._config.advertise_client_urls)
        while True:
            member = self._replica.membership.members.get(self._storage.member_id)
            if member is None or (member.client_urls == urls and member.name == self._config.name):
                return
            published = Member(member.id, self._config.name, member.peer_urls, urls, member.is_learner)
            try:
                await self._submit(b"", Change(Operation.PUBLISH, published))
            except RaftError as error:
                _log.debug("cannot publish the client URLs yet", why=str(error))
                await asyncio.sleep(self._config.heartbeat_interval_s)

    def _make_transport(self, storage: Storage) -> Transport:
        config = self._config
        if config.server_tls is None or config.client_tls is None:
            raise ValueError("peers need mutual TLS: give server_tls and client_tls")
        me = storage.membership.members.get(storage.member_id)
        listen_urls = config.listen_urls or (me.peer_urls if me is not None else ())
        return PeerTransport(
            storage.member_id,
            storage.cluster_id,
            config.server_tls,
            config.client_tls,
            listen_urls,
            config.listen_sockets,
            config.limits.outbox_bytes,
        )

    async def _hand_over_and_drain(self) -> None:
        deadline = self._clock() + DRAIN_S
        replica = self._replica
        if replica.core.is_leader:
            heirs = [each for each in replica.membership.voters if each in replica.core.peers]
            reachable = [each for each in heirs if replica.is_connected(each)]
            if reachable:
                best = max(reachable, key=lambda each: (replica.core.match(each), each))
                try:
                    await self.transfer_leadership(best)
                except RaftError as error:
                    _log.warning("leadership was not handed over", why=str(error))
        while len(replica.requests.proposals) and self._failure is None and self._clock() < deadline:
            await self._turns.next()


def _answer(future: asyncio.Future[Any]) -> Callable[[Any, RaftError | None], None]:
    def done(result: Any, error: RaftError | None) -> None:
        if future.done():  # who asked went away
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    return done
