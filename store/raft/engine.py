"""`RaftNode`: a replica driven by asyncio, with real connections, a real clock and a real disk.

One task runs the turns; it sleeps until something arrives or time is due. The sync of a turn runs in the loop while
the disk is fast (a thread would cost more than it takes) and in a thread once it is slow, so that the loop goes on
serving; the next turn waits for it either way. Snapshots are written by a task of their own, a piece at a time, the
file work in a thread.

An error in a turn (the disk failed, an invariant broke, the state machine raised) ends the member: who waits is
told, and `wait_stopped` returns the error for the process to exit with. Nothing is retried: after a failed sync
nobody knows what is on the disk.
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

SLOW_SYNC_S = 0.004
"""A disk whose syncs take longer on average gets a thread."""
SYNC_AVERAGE_WEIGHT = 0.1
DRAIN_S = 1.0
"""How long `stop` waits for what is in flight."""
TIMER_SLACK_S = 0.001

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
        self._wake = asyncio.Event()
        self._turned = asyncio.Event()
        self._turning = asyncio.Lock()  # held from step to complete: a sync in a thread works on the log
        self._failure: BaseException | None = None
        self._stopping = False
        self._stopped = asyncio.Event()
        self._sync_average_s = 0.0
        self._lock: int | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._background: asyncio.Task[None] | None = None
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
            self._replica = self._make_replica()
            self._members_changed(self._replica.membership)
            await self.transport.start(self._replica)
        except BaseException:
            self._storage.log.wal.close()
            raise
        self._tasks = [asyncio.ensure_future(self._run())]
        if self._config.advertise_client_urls:
            self._tasks.append(asyncio.ensure_future(self._publish()))
        self._wake.set()

    def _make_replica(self) -> Replica:
        replica = Replica(
            self._config,
            self._storage,
            self._machine,
            self.transport.send,
            self._clock,
            self._rng,
            self._wake.set,
        )
        replica.on_leadership = self._leadership
        replica.on_members = self._members_changed
        return replica

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def stop(self) -> None:
        if self._stopping:
            await self._stopped.wait()
            return
        if self._failure is None and self._tasks and not self._tasks[0].done():
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S + self._config.election_timeout_s):
                    await self._hand_over_and_drain()
        self._stopping = True
        self._wake.set()
        for task in self._tasks[1:]:
            task.cancel()
        if self._background is not None:
            self._background.cancel()
        others = [*self._tasks, *([self._background] if self._background is not None else [])]
        await asyncio.gather(*others, return_exceptions=True)
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
        self._wake.set()
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
        while replica.transferring and self._failure is None and not self._stopping:
            await self._next_turn()
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
        self._wake.set()
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

    # Turns

    async def _run(self) -> None:
        try:
            while not self._stopping:
                await self._wait()
                await self._turn()
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                self._fail(error)
            raise

    async def _wait(self) -> None:
        """Sleep until an input arrives or time is due; let the loop run in any case."""
        if self._replica.has_more or self._wake.is_set():
            await asyncio.sleep(0)
            return
        delay_s = max(self._replica.wake_at - self._clock() + TIMER_SLACK_S, 0)
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _turn(self) -> None:
        self._wake.clear()
        replica = self._replica
        async with self._turning:
            replica.step()
            if replica.must_sync:
                await self._sync()
            replica.complete()
        self._start_background()
        self._turned.set()
        self._turned = asyncio.Event()

    async def _next_turn(self) -> None:
        """Turns come at least once in a heartbeat interval."""
        await self._turned.wait()

    async def _sync(self) -> None:
        began = time.monotonic()
        if self._sync_average_s < SLOW_SYNC_S:
            self._replica.sync()
        else:
            await self._sync_aside()
        took_s = time.monotonic() - began
        self._sync_average_s += (took_s - self._sync_average_s) * SYNC_AVERAGE_WEIGHT
        if took_s > self._config.election_timeout_s:
            _log.warning("the disk is slow", sync_s=round(took_s, 3))
            self._replica.step_down()

    async def _sync_aside(self) -> None:
        """In a thread, with heartbeats meanwhile: a disk that is merely slow costs no election. They end early
        enough for the others to miss this leader soon after it gives up itself (see `_sync`)."""
        sync = asyncio.get_running_loop().run_in_executor(None, self._replica.sync)
        interval_s = self._config.heartbeat_interval_s
        for _ in range(int(self._config.election_timeout_s / 2 / interval_s)):
            done, _ = await asyncio.wait([sync], timeout=interval_s)
            if done:
                break
            self._replica.heartbeat()
        await sync

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        _log.error("the member failed", why=f"{type(error).__name__}: {error}")
        self._turned.set()
        self._replica.abandon(
            Stopped(f"the member failed: {error}"), OutcomeUnknown(f"the member failed: {error}")
        )
        self._stopped.set()

    # Snapshots

    def _start_background(self) -> None:
        if self._background is not None and self._background.done():
            self._background = None
        if self._background is not None:
            return
        if self._replica.installer.received is not None:
            self._background = asyncio.ensure_future(self._guard(self._install()))
        elif self._replica.snapshot_due:
            self._background = asyncio.ensure_future(self._guard(self._snapshot()))

    async def _guard(self, job: Any) -> None:
        try:
            await job
        except Exception as error:
            self._fail(error)
            self._tasks[0].cancel()

    async def _snapshot(self) -> None:
        loop = asyncio.get_running_loop()
        meta = self._replica.snapshot_meta()
        view = self._machine.snapshot()
        writer = await loop.run_in_executor(None, self._storage.snapshots.write, meta)
        try:
            for chunk in view.chunks():
                await loop.run_in_executor(None, writer.write, chunk)
            await loop.run_in_executor(None, writer.finish)
        except BaseException:
            writer.abort()
            raise
        async with self._turning:
            self._replica.snapshot_taken(meta)
        _log.info("took a snapshot", index=meta.index, term=meta.term)

    async def _install(self) -> None:
        received = self._replica.installer.received
        assert received is not None
        await asyncio.get_running_loop().run_in_executor(None, received[0].finish)
        async with self._turning:
            self._replica.install_received()

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
            await self._next_turn()


def _answer(future: asyncio.Future[Any]) -> Callable[[Any, RaftError | None], None]:
    def done(result: Any, error: RaftError | None) -> None:
        if future.done():  # who asked went away
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    return done
