"""The lease table: which leases exist and which keys hang on them. Pure, replicated, without a clock.

Time is kept beside it (`store.lease.clock`), by every member for itself; only the leader acts on it, by
proposing to revoke. Between that proposal and its application a renewal may be applied: so each renewal
counts up `renewals`, an expiry names the count it saw, and is void if the count has moved on. A lease that
was kept alive in time is therefore never revoked, whatever the order in which the proposals arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from store.mvcc.errors import LeaseExists, LeaseNotFound, LeaseTtlTooLarge

MAX_TTL_S = 9_000_000_000  # etcd's
MAX_LEASES = 1_000_000


class Lease(msgspec.Struct):
    id: int
    ttl_s: int
    renewals: int = 0
    remaining_s: int = 0  # checkpoint of a long lease's remaining time, 0 for none; see `LeaseClock.promote`
    keys: set[bytes] = msgspec.field(default_factory=set)


class LeaseTable:
    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._dumped: set[int] = set()  # whose `Lease` a dump shares: copied before it is changed

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._leases.values())

    def ids(self) -> list[int]:
        return list(self._leases)

    def find(self, id: int) -> Lease | None:
        return self._leases.get(id)

    def exists(self, id: int) -> bool:
        return id in self._leases

    def keys_of(self, id: int) -> Iterable[bytes]:
        lease = self._leases.get(id)
        return lease.keys if lease is not None else ()

    def grant(self, id: int, ttl_s: int) -> Lease:
        """`id` was chosen before the proposal, since the table may not draw one."""
        if ttl_s > MAX_TTL_S:
            raise LeaseTtlTooLarge
        if id in self._leases:
            raise LeaseExists
        lease = self._leases[id] = Lease(id, ttl_s)
        return lease

    def renew(self, id: int) -> Lease:
        lease = self._own(self._get(id))
        lease.renewals += 1
        lease.remaining_s = 0
        return lease

    def checkpoint(self, id: int, remaining_s: int) -> None:
        lease = self._leases.get(id)
        if lease is not None and 0 < remaining_s < lease.ttl_s:
            self._own(lease).remaining_s = remaining_s

    def remove(self, id: int) -> Lease:
        """Take the lease out; the caller deletes its keys."""
        lease = self._get(id)
        del self._leases[id]
        self._dumped.discard(id)
        return lease

    def is_due(self, id: int, renewals: int) -> bool:
        """Does an expiry that saw this many renewals still hold?"""
        lease = self._leases.get(id)
        return lease is not None and lease.renewals == renewals

    def attach(self, id: int, key: bytes) -> None:
        self._own(self._get(id)).keys.add(key)

    def detach(self, id: int, key: bytes) -> None:
        lease = self._leases.get(id)
        if lease is not None:  # while a lease is being revoked its keys are deleted after it is gone
            self._own(lease).keys.discard(key)

    def dump(self) -> list[Lease]:
        """All leases as they are now and stay, for a snapshot that is written while requests go on. Not to be
        changed. Takes 0.1 s for a million leases."""
        self._dumped = set(self._leases)
        return list(self._leases.values())

    @classmethod
    def load(cls, leases: Iterable[Lease]) -> LeaseTable:
        """The table takes them over."""
        table = cls()
        table._leases = {lease.id: lease for lease in leases}
        return table

    def _own(self, lease: Lease) -> Lease:
        """The lease, to be changed."""
        if lease.id in self._dumped:
            self._dumped.discard(lease.id)
            lease = Lease(lease.id, lease.ttl_s, lease.renewals, lease.remaining_s, set(lease.keys))
            self._leases[lease.id] = lease
        return lease

    def _get(self, id: int) -> Lease:
        lease = self._leases.get(id)
        if lease is None:
            raise LeaseNotFound
        return lease
