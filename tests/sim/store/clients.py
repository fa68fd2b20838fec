"""Clients: what they ask, how they retry (as `store/client` does), and what they saw.

A request that certainly was not applied (no connection, "no leader") is asked of the next member; a write
whose answer is lost is not repeated, and stands in the history without one; a read is. Each client asks one
thing at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from store.api import commands as c
from store.mvcc.errors import RequestError
from store.mvcc.messages import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)
from store.mvcc.messages import (
    Compare as StoreCompare,
)
from store.raft.interface import NotLeader, ProposalDropped
from tests.sim.linearizability import Compare, Do, Operation
from tests.sim.operations import Asker
from tests.sim.store.cluster import Cluster
from tests.sim.store.member import SimMember

KEYS = [b"k/0", b"k/1", b"k/2", b"k/3"]
READ_ATTEMPT_S = 1.0
DEADLINE_S = 4.0
RETRY_S = 0.02
KEEP_REVISIONS = 40
MAX_BACKOFF = 6
UNHURRIED_AFTER = 180

Answer = Callable[[Any, Exception | None], None]


class Caller:
    """Fail-over between members, one call at a time."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.name = name
        self.stopped = False
        self._calls = 0
        self._endpoint = self.world.rng.choice(sorted(cluster.members))

    def call(
        self,
        ask: Callable[[SimMember, Answer], None],
        idempotent: bool,
        done: Callable[[Any, Exception | None], None],
    ) -> None:
        """The error is a RequestError, `Lost` (outcome unknown) or `Nobody` (not applied)."""
        self._calls += 1
        _Call(self, ask, idempotent, done).attempt()

    def next_endpoint(self) -> None:
        self._endpoint = self.world.rng.choice(sorted(self.cluster.members))

    @property
    def endpoint(self) -> SimMember:
        return self.cluster.members[self._endpoint]


class Lost(Exception):
    """The answer did not come: it may have been applied, or may still be."""


class Nobody(Exception):
    """Nobody took it: certainly not applied."""


class _Call:
    def __init__(self, caller: Caller, ask: Callable[..., None], idempotent: bool, done: Answer) -> None:
        self._caller, self._ask, self._idempotent, self._done = caller, ask, idempotent, done
        self._world = caller.world
        self._deadline = self._world.now + DEADLINE_S
        self._attempts = 0
        self._number = 0  # of the attempt whose answer counts

    def attempt(self) -> None:
        if self._world.now >= self._deadline:
            self._finish(None, Nobody())
            return
        self._attempts += 1
        self._number += 1
        member = self._caller.endpoint
        self._world.after(self._delay_s(), self._arrive, member, self._number)
        limit_s = READ_ATTEMPT_S if self._idempotent else self._deadline - self._world.now
        self._world.after(min(limit_s, self._deadline - self._world.now), self._timed_out, self._number)

    def _arrive(self, member: SimMember, number: int) -> None:
        if number != self._number:
            return
        if not member.alive or (member.paused and self._world.rng.random() < 0.5):
            self._again(None)  # no connection
            return
        boot = member.boots
        if member.paused:  # the connection is accepted by the kernel; whoever is behind it sleeps
            self._world.after(0.2, self._arrive, member, number)
            return

        def answer(result: Any, error: Exception | None) -> None:
            if member.boots == boot and member.alive:
                self._world.after(self._delay_s(), self._answered, number, result, error)

        self._world.after(0.0, self._watch_connection, member, boot, number)
        self._ask(member, answer)

    def _watch_connection(self, member: SimMember, boot: int, number: int) -> None:
        """A member that dies closes its connections."""
        if number != self._number:
            return
        if member.boots != boot or not member.alive:
            self._again(Lost())
            return
        self._world.after(0.1, self._watch_connection, member, boot, number)

    def _answered(self, number: int, result: Any, error: Exception | None) -> None:
        if number != self._number:
            return
        if error is None or isinstance(error, RequestError):
            self._finish(result, error)
        elif isinstance(error, NotLeader | ProposalDropped):
            self._again(None)
        else:
            self._again(Lost())

    def _timed_out(self, number: int) -> None:
        if number == self._number:
            self._again(Lost())

    def _again(self, failure: Lost | None) -> None:
        if failure is not None and not self._idempotent:
            self._caller.next_endpoint()
            self._finish(None, failure)
            return
        self._number += 1
        self._caller.next_endpoint()
        self._world.after(
            RETRY_S * 2 ** min(self._attempts, MAX_BACKOFF) * self._world.rng.random(), self.attempt
        )

    def _finish(self, result: Any, error: Exception | None) -> None:
        self._number += 1
        self._done(result, error)

    def _delay_s(self) -> float:
        return self._world.rng.uniform(0.0002, 0.003)


class Worker(Caller):
    """Transactions on a few keys, recorded in a history."""

    def __init__(self, cluster: Cluster, name: str, history: list[Operation], pace_s: float) -> None:
        super().__init__(cluster, name)
        self._history = history
        self._pace_s = pace_s
        self._asker = Asker(name, self.world.rng)
        self._think()

    def _think(self) -> None:
        unhurried = len(self._history) >= UNHURRIED_AFTER and self.cluster.faults_to_come
        pace_s = self._pace_s * (8 if unhurried else 1)
        self.world.after(self.world.rng.uniform(0, 2 * pace_s), self._act)

    def _act(self) -> None:
        if self.stopped:
            return
        operation = self._asker.choose(KEYS, self.world.now)
        self._history.append(operation)
        reads_only = not operation.is_write

        def ask(member: SimMember, answer: Answer) -> None:
            if reads_only:
                member.read(_request(operation), answer)
            else:
                member.write(_request(operation), answer)

        def done(response: Any, error: Exception | None) -> None:
            if error is None:
                self._asker.told(operation, response, self.world.now)
                self.cluster.served_at = self.world.now
            elif isinstance(error, Nobody):
                self._history.remove(operation)
            elif isinstance(error, RequestError):
                self.cluster.invariants.fail(f"{self.name}: {operation}: {error.message}")
            if self.world.tracing:
                self.world.trace(
                    self.name, f"{operation}{'' if error is None else ' ' + type(error).__name__}"
                )
            self._think()

        self.call(ask, reads_only, done)


def _request(operation: Operation) -> Any:
    """A single operation by its own request, others by a transaction."""
    if not operation.compares and len(operation.success) == 1:
        return _single(operation.success[0])
    return TxnRequest(
        compare=[_compare(each) for each in operation.compares],
        success=[_op(each) for each in operation.success],
        failure=[_op(each) for each in operation.failure],
    )


def _single(do: Do) -> Any:
    if do.kind == "get":
        return RangeRequest(key=do.key)
    if do.kind == "put":
        return PutRequest(key=do.key, value=do.value, prev_kv=True)
    return DeleteRangeRequest(key=do.key, prev_kv=True)


def _op(do: Do) -> RequestOp:
    request = _single(do)
    if do.kind == "get":
        return RequestOp(request_range=request)
    if do.kind == "put":
        return RequestOp(request_put=request)
    return RequestOp(request_delete_range=request)


def _compare(compare: Compare) -> StoreCompare:
    if compare.value is None:
        return StoreCompare(key=compare.key, target="CREATE", create_revision=0)
    return StoreCompare(key=compare.key, target="VALUE", value=compare.value)


class Compactor(Caller):
    """Forgets history now and then."""

    def __init__(self, cluster: Cluster, pace_s: float) -> None:
        super().__init__(cluster, "cmp")
        self._pace_s = pace_s
        self._think()

    def _think(self) -> None:
        self.world.after(self.world.rng.uniform(0, 2 * self._pace_s), self._act)

    def _act(self) -> None:
        if self.stopped:
            return
        events = self.cluster.invariants.events
        revision = events[-1].mod_revision - KEEP_REVISIONS if events else 0
        if revision <= 0:
            self._think()
            return
        self.call(
            lambda member, answer: member.write(CompactionRequest(revision), answer),
            False,
            lambda result, error: self._think(),
        )


class Locker(Caller):
    """Takes a lock (a key bound to a lease), keeps it alive for a while, lets it go or lets it run out.

    It trusts the lock until the lease's time from when it *sent* the last renewal that was answered, less
    what clocks may differ. Whoever else trusts it then has broken the store's promise.
    """

    LOCK = b"lock"

    def __init__(self, cluster: Cluster, name: str, holders: dict[str, float]) -> None:
        super().__init__(cluster, name)
        self._holders = holders  # name → until when it trusts its lock, in true time
        self._ttl_s = self.world.rng.choice([1, 2, 3])
        self._margin = 1.0 - 2.5 * cluster.clock_drift
        self._lease = 0
        self._leave_at = math.inf
        self.taken = 0
        self._rest()

    def _rest(self) -> None:
        self._holders.pop(self.name, None)
        self.world.after(self.world.rng.uniform(0.05, 0.8), self._begin)

    def _begin(self) -> None:
        if self.stopped:
            return
        self._lease = self.world.rng.getrandbits(40) + 1
        sent = self.world.now
        grant = c.LeaseGrant(self._lease, self._ttl_s)
        self.call(lambda m, a: m.write(grant, a), False, lambda r, e: self._granted(sent, e))

    def _granted(self, sent: float, error: Exception | None) -> None:
        if error is not None:
            self._rest()
            return
        request = TxnRequest(
            compare=[StoreCompare(key=self.LOCK, target="CREATE", create_revision=0)],
            success=[
                RequestOp(request_put=PutRequest(key=self.LOCK, value=self.name.encode(), lease=self._lease))
            ],
        )
        self.call(lambda m, a: m.write(request, a), False, lambda r, e: self._asked(sent, r, e))

    def _asked(self, sent: float, response: Any, error: Exception | None) -> None:
        if error is not None or not response.succeeded:
            self._let_go()
            return
        self.taken += 1
        self._leave_at = self.world.now + self.world.rng.choice([0.2, 1.0, 4.0])
        self._trust(sent)

    def _trust(self, sent: float) -> None:
        now, until = self.world.now, sent + self._ttl_s * self._margin
        if until <= now:
            self._rest()
            return
        self._holders[self.name] = until
        for other, its_until in self._holders.items():
            if other != self.name and its_until > now:
                self.cluster.invariants.fail(f"lease exclusivity: {self.name} and {other} both hold the lock")
        self.world.after(self._ttl_s * self.world.rng.choice([0.2, 0.4, 0.7, 0.95]), self._renew, self._lease)

    def _renew(self, lease: int) -> None:
        if self.stopped or lease != self._lease:
            self._holders.pop(self.name, None)
            return
        if self.world.now > self._leave_at:
            if self.world.rng.random() < 0.5:
                self._let_go()
            else:
                self._rest()  # it is forgotten, and runs out; another waits for it
            return
        sent = self.world.now
        self.call(
            lambda m, a: m.write(c.LeaseRenew(lease), a), True, lambda r, e: self._renewed(sent, lease, e)
        )

    def _renewed(self, sent: float, lease: int, error: Exception | None) -> None:
        if lease != self._lease:
            return
        if error is None:
            self._trust(sent)  # it may have been asked twice; the first sending is early enough
        else:
            self._rest()

    def _let_go(self) -> None:
        self._holders.pop(self.name, None)
        lease = self._lease
        self.call(lambda m, a: m.write(c.LeaseRevoke(lease), a), True, lambda r, e: self._rest())
