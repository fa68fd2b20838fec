"""One active process of several, by a Lease: client-go's algorithm (tools/leaderelection), record for record.

A candidate never compares another machine's clock with its own: it notes when, on its own clock, it first
saw the present record, and takes the lease over once that record has stood unchanged for its duration. The
holder renews every `retry_period_s` and stops its work when it could not for `renew_deadline_s`, which is
shorter than the duration: so that it has stopped before another may start. Since a paused process cannot
stop, its later writes are harmless by their preconditions, not by this.

`run` returns after a cancelled or finished work has ended and the lease has been given back; waiting
candidates watch the Lease, so a clean release is taken up at once. It raises LeadershipLost when the lease
could not be held.

    renew_deadline_s < lease_duration_s, retry_period_s * 1.2 < renew_deadline_s
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.client.client import Client
from control_plane.client.errors import ConnectionFailed, LeadershipLost
from control_plane.client.gvr import LEASES
from control_plane.client.types import BOOKMARK, DELETED, Obj
from store.component import logs

LEASE_DURATION_S = 15.0
RENEW_DEADLINE_S = 10.0
RETRY_PERIOD_S = 2.0
JITTER_FACTOR = 1.2  # candidates wait between one and 1 + this many periods
EXPIRY_SLACK_S = 0.01
RELEASE_TRIES = 5

OnStarted = Callable[[], Coroutine[Any, Any, None]]

log = logs.get("leader-election")


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease's spec says."""

    holder: str
    duration_s: int
    acquired: str
    renewed: str
    transitions: int

    @classmethod
    def of(cls, lease: Obj) -> Record:
        spec = lease.get("spec") or {}
        return cls(
            spec.get("holderIdentity") or "",
            spec.get("leaseDurationSeconds") or 0,
            spec.get("acquireTime") or "",
            spec.get("renewTime") or "",
            spec.get("leaseTransitions") or 0,
        )

    def spec(self) -> Obj:
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration_s,
            "acquireTime": self.acquired,
            "renewTime": self.renewed,
            "leaseTransitions": self.transitions,
        }


class LeaderElector:
    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        lease_duration_s: float = LEASE_DURATION_S,
        renew_deadline_s: float = RENEW_DEADLINE_S,
        retry_period_s: float = RETRY_PERIOD_S,
    ) -> None:
        if not lease_duration_s > renew_deadline_s > retry_period_s * JITTER_FACTOR > 0:
            raise ValueError("lease duration > renew deadline > 1.2 × retry period > 0 must hold")
        self._client = client
        self._clock = client.clock
        self._name = name
        self._namespace = namespace
        self.identity = identity
        self._duration_s = math.ceil(lease_duration_s)
        self._renew_deadline_s = renew_deadline_s
        self._retry_period_s = retry_period_s
        self._lease: Obj | None = None  # as last read or written
        self._observed = Record("", 0, "", "", 0)
        self._observed_at_s = float("-inf")

    @property
    def is_leader(self) -> bool:
        """We hold the last record seen, and it has not run out by our own clock."""
        return self._observed.holder == self.identity and self._valid()

    @property
    def holder(self) -> str:
        return self._observed.holder

    async def run(self, on_started: OnStarted) -> None:
        """Wait for the lease, then run the work for as long as it is held. Cancel it to step down cleanly."""
        await self._acquire()
        log.info("became leader", lease=self._name, identity=self.identity)
        work = asyncio.ensure_future(on_started())
        renewal = asyncio.ensure_future(self._renew_until_lost())
        held = True
        try:
            await asyncio.wait([work, renewal], return_when=asyncio.FIRST_COMPLETED)
            held = not renewal.done()
            if not work.done():
                raise LeadershipLost(f"lease {self._name} could not be renewed in {self._renew_deadline_s} s")
            work.result()
        finally:
            await _ended(work)
            await _ended(renewal)
            log.info("stopped leading", lease=self._name, identity=self.identity)
            if held:
                await self._release()

    # ---- waiting

    async def _acquire(self) -> None:
        vacated = asyncio.Event()
        watcher = asyncio.ensure_future(self._watch_for_release(vacated))
        try:
            while not await self._try_acquire_or_renew():
                await self._either(vacated.wait(), self._next_try_s())
                vacated.clear()
        finally:
            await _ended(watcher)

    def _next_try_s(self) -> float:
        """After a jittered period, or as soon as the present record runs out."""
        period_s = self._retry_period_s * (1 + JITTER_FACTOR * self._client.random())
        if not self._valid():
            return period_s
        expires_s = self._observed_at_s + self._observed.duration_s - self._clock.monotonic()
        return min(period_s, expires_s + EXPIRY_SLACK_S)

    async def _watch_for_release(self, vacated: asyncio.Event) -> None:
        """Sees renewals and a release when they happen. Only a short cut: the periodic tries go on without
        it."""
        selector = f"metadata.name={self._name}"
        while True:
            with suppress(StatusError, ConnectionFailed):
                events = self._client.watch(LEASES, self._namespace, field_selector=selector)
                async with aclosing(events):
                    async for event in events:
                        if event.type == DELETED:
                            vacated.set()
                        elif event.type != BOOKMARK:
                            self._saw(event.object)
                            if not self._observed.holder:
                                vacated.set()
            await self._clock.sleep(self._retry_period_s)

    async def _either(self, waiting: Coroutine[Any, Any, Any], delay_s: float) -> None:
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._clock.sleep(delay_s))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                await _ended(task)

    # ---- holding

    async def _renew_until_lost(self) -> None:
        """Ends when the lease could not be renewed for the deadline, or is another's."""
        while True:
            await self._clock.sleep(self._retry_period_s)
            renewing = asyncio.ensure_future(self._renew())
            await self._either(_finished(renewing), self._renew_deadline_s)
            renewed = renewing.done() and not renewing.cancelled() and renewing.result()
            await _ended(renewing)
            if not renewed:
                log.error("lease could not be renewed", lease=self._name, holder=self._observed.holder)
                return

    async def _renew(self) -> bool:
        while not await self._try_acquire_or_renew():
            if self._observed.holder not in ("", self.identity):
                return False
            await self._clock.sleep(self._retry_period_s)
        return True

    async def _try_acquire_or_renew(self) -> bool:
        try:
            return await self._attempt()
        except (StatusError, ConnectionFailed) as error:
            log.debug("lease not obtained", lease=self._name, error=str(error))
            return False

    async def _attempt(self) -> bool:
        if self._lease is not None and self.is_leader and await self._fast_renewal():
            return True
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except StatusError as error:
            if not is_not_found(error):
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace},
            }
            self._wrote(await self._client.create(LEASES, {**lease, "spec": self._claim(None).spec()}))
            return True
        self._saw(lease)
        if self._observed.holder not in ("", self.identity) and self._valid():
            return False
        return await self._write(lease, self._claim(self._observed))

    async def _fast_renewal(self) -> bool:
        """Without reading first: nobody else has written as long as we are in time."""
        assert self._lease is not None
        try:
            return await self._write(self._lease, self._claim(self._observed))
        except StatusError as error:
            if is_conflict(error) or is_not_found(error):
                return False
            raise

    def _claim(self, old: Record | None) -> Record:
        now = meta.rfc3339_micro(self._clock.wall())
        claim = Record(self.identity, self._duration_s, now, now, 0)
        if old is None:
            return claim
        if old.holder == self.identity:
            return replace(claim, acquired=old.acquired, transitions=old.transitions)
        return replace(claim, transitions=old.transitions + 1)

    async def _write(self, lease: Obj, record: Record) -> bool:
        started_s = self._clock.monotonic()
        written = await self._client.update(
            LEASES, {**lease, "spec": {**lease.get("spec", {}), **record.spec()}}
        )
        self._wrote(written, started_s)
        return True

    def _wrote(self, lease: Obj, at_s: float | None = None) -> None:
        """Our own record counts from before it was sent: others may have seen it no earlier."""
        self._lease = lease
        self._observed = Record.of(lease)
        self._observed_at_s = self._clock.monotonic() if at_s is None else at_s

    def _saw(self, lease: Obj) -> None:
        record = Record.of(lease)
        self._lease = lease
        if record != self._observed:
            self._observed = record
            self._observed_at_s = self._clock.monotonic()

    def _valid(self) -> bool:
        return self._observed_at_s + self._observed.duration_s > self._clock.monotonic()

    # ---- giving it back

    async def _release(self) -> None:
        """So that the next one need not wait. A failure only costs them that wait."""
        with suppress(StatusError, ConnectionFailed, TimeoutError):
            async with asyncio.timeout(self._renew_deadline_s):
                for _ in range(RELEASE_TRIES):
                    if await self._try_release():
                        log.info("lease released", lease=self._name)
                        return

    async def _try_release(self) -> bool:
        lease = await self._client.get(LEASES, self._name, self._namespace)
        record = Record.of(lease)
        if record.holder != self.identity:
            return True
        now = meta.rfc3339_micro(self._clock.wall())
        try:
            await self._write(lease, Record("", 1, now, now, record.transitions))
        except StatusError as error:
            if is_conflict(error):
                return False
            raise
        return True


async def _ended(task: asyncio.Future[Any]) -> None:
    """Cancel it and wait for its end, whatever that is; its result was looked at before."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


async def _finished(task: Awaitable[Any]) -> None:
    await asyncio.wait([asyncio.ensure_future(task)])
