"""The replicated state machine: keys, leases and alarms behind the engine's `StateMachine` interface.

`apply` turns one log entry into results and watch events. Whatever it does depends on the entry and the
state alone. The one thing it tells the outside, that a lease was renewed or is gone, goes through
`LeaseObserver`, and nothing comes back.

    snapshot = (kind:u8 chunk)*      kinds: alarms, leases, keys
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from store.api import commands as c
from store.api.errors import Corrupt
from store.lease.table import Lease, LeaseTable
from store.mvcc import snapshot
from store.mvcc.errors import NoSpace, RequestError
from store.mvcc.messages import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    Response,
    TxnRequest,
)
from store.mvcc.store import MvccStore
from store.watch.hub import WatchHub

LEASES_PER_CHUNK = 1000

Alarm = tuple[int, c.AlarmType]  # member id, kind


class LeaseResult(msgspec.Struct):
    revision: int
    id: int
    ttl_s: int


class AlarmResult(msgspec.Struct):
    revision: int
    alarms: list[Alarm]


Result = Response | LeaseResult | AlarmResult | RequestError | None


class LeaseObserver(Protocol):
    def renewed(self, lease: Lease) -> None: ...

    def removed(self, id: int) -> None: ...

    def replaced(self, leases: Iterable[Lease]) -> None: ...


class StoreMachine:
    def __init__(self, observer: LeaseObserver) -> None:
        self.leases = LeaseTable()
        self.store = MvccStore(self.leases)
        self.hub = WatchHub(self.store)
        self.alarms: set[Alarm] = set()
        self._observer = observer

    # -- StateMachine --

    def apply(self, index: int, commands: Sequence[bytes]) -> Sequence[Result]:
        results = [self._apply(c.decode(command)) for command in commands]
        self.hub.notify(self.store.take_events())
        return results

    def snapshot(self) -> MachineView:
        return MachineView(self)

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Build everything anew, then swap; a damaged snapshot leaves the old state in place."""
        alarms: list[Alarm] = []
        leases: list[Lease] = []
        keys = _split(chunks, alarms, leases)
        first = next(keys, None)
        table = LeaseTable.load(leases)
        store = snapshot.load(_prepend(first, keys), table)
        self.leases, self.store, self.alarms = table, store, set(alarms)
        self.hub.reset(store)
        self._observer.replaced(table)

    # -- commands --

    def has_alarm(self, kind: c.AlarmType) -> bool:
        return any(alarm == kind for _, alarm in self.alarms)

    def _apply(self, command: c.Command) -> Result:
        try:
            self._refuse_under_alarm(command)
            return self._execute(command)
        except RequestError as error:
            return error

    def _execute(self, command: c.Command) -> Result:
        match command:
            case PutRequest():
                return self.store.put(command)
            case TxnRequest():
                return self.store.txn(command)
            case DeleteRangeRequest():
                return self.store.delete_range(command)
            case CompactionRequest():
                return self.store.compact(command)
            case c.SetAlarm():
                return self._set_alarm(command)
            case _:
                return self._lease(command)

    def _lease(self, command: c.Command) -> Result:
        match command:
            case c.LeaseGrant():
                return self._renewed(self.leases.grant(command.id, command.ttl_s))
            case c.LeaseRenew():
                return self._renewed(self.leases.renew(command.id))
            case c.LeaseRevoke():
                return self._revoke(command.id)
            case c.LeaseExpire():
                if self.leases.is_due(command.id, command.renewals):
                    return self._revoke(command.id)
            case c.LeaseCheckpoint():
                for id, remaining_s in command.remaining:
                    self.leases.checkpoint(id, remaining_s)
        return None

    def _renewed(self, lease: Lease) -> LeaseResult:
        self._observer.renewed(lease)
        return LeaseResult(self.store.revision, lease.id, lease.ttl_s)

    def _revoke(self, id: int) -> LeaseResult:
        lease = self.leases.remove(id)
        self._observer.removed(id)
        revision = self.store.delete_keys(list(lease.keys))
        return LeaseResult(revision, id, 0)

    def _set_alarm(self, command: c.SetAlarm) -> AlarmResult:
        """Deactivating NONE clears all kinds, and member 0 stands for every member, as in etcd."""
        if command.active:
            alarms = {(command.member_id, command.alarm)}
            self.alarms |= alarms
        else:
            alarms = {
                (member, kind)
                for member, kind in self.alarms
                if command.alarm in ("NONE", kind) and command.member_id in (0, member)
            }
            self.alarms -= alarms
        return AlarmResult(self.store.revision, sorted(alarms))

    def _refuse_under_alarm(self, command: c.Command) -> None:
        if not self.alarms or isinstance(command, c.SetAlarm | c.LeaseRenew | c.LeaseCheckpoint):
            return
        if self.has_alarm("CORRUPT"):
            raise Corrupt
        if self.has_alarm("NOSPACE") and needs_space(command):
            raise NoSpace


def needs_space(command: c.Command) -> bool:
    """Would it use space? Deletes and compaction must go through when there is none left."""
    if isinstance(command, TxnRequest):
        return any(
            op.request_put is not None or (op.request_txn is not None and needs_space(op.request_txn))
            for op in (*command.success, *command.failure)
        )
    return isinstance(command, PutRequest | c.LeaseGrant)


_ALARMS, _LEASES, _KEYS = b"A", b"L", b"K"
_encode = msgspec.msgpack.Encoder().encode
_decode_alarms = msgspec.msgpack.Decoder(list[Alarm]).decode
_decode_leases = msgspec.msgpack.Decoder(list[Lease]).decode


class MachineView:
    """The state at one moment, in chunks; see `MvccView` for why that costs nothing."""

    def __init__(self, machine: StoreMachine) -> None:
        self._alarms = sorted(machine.alarms)
        self._leases = machine.leases.dump()
        self._keys = snapshot.MvccView(machine.store)

    def chunks(self) -> Iterator[bytes]:
        try:
            yield _ALARMS + _encode(self._alarms)
            for start in range(0, len(self._leases), LEASES_PER_CHUNK):
                yield _LEASES + _encode(self._leases[start : start + LEASES_PER_CHUNK])
            for chunk in self._keys.chunks():
                yield _KEYS + chunk
        finally:
            self.close()

    def close(self) -> None:
        self._keys.close()


def _split(chunks: Iterable[bytes], alarms: list[Alarm], leases: list[Lease]) -> Iterator[bytes]:
    """Collect alarms and leases, which come first; yield the chunks of keys."""
    for chunk in chunks:
        kind, body = chunk[:1], chunk[1:]
        try:
            if kind == _KEYS:
                yield body
            elif kind == _ALARMS:
                alarms += _decode_alarms(body)
            elif kind == _LEASES:
                leases += _decode_leases(body)
            else:
                raise snapshot.Damaged(f"the snapshot has a chunk of unknown kind {kind!r}")
        except msgspec.MsgspecError as error:
            raise snapshot.Damaged(f"a chunk of the snapshot cannot be read: {error}") from error


def _prepend(first: bytes | None, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first is not None:
        yield first
    yield from rest
