"""The replicated state machine: keys, leases, alarms and users behind the engine's `StateMachine` interface.

`apply` turns one log entry into results and watch events. Whatever it does depends on the entry and the
state alone. What it tells the outside, that a lease was renewed or is gone, that a token counts or a user's
no longer do, goes through observers, and nothing comes back.

    snapshot = (kind:u8 chunk)*      kinds: alarms, users, downgrade, leases, keys
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from store.api import commands as c
from store.api.errors import Corrupt
from store.auth import authorize
from store.auth import messages as auth
from store.auth.errors import OldRevision, UserEmpty
from store.auth.table import AuthTable
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
from store.raft.interface import Loading
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


Result = Response | LeaseResult | AlarmResult | auth.AuthResult | RequestError | None


class LeaseObserver(Protocol):
    def renewed(self, lease: Lease) -> None: ...

    def removed(self, id: int) -> None: ...

    def replaced(self, leases: Iterable[Lease]) -> None: ...


class AuthObserver(Protocol):
    def assigned(self, user: str, token_digest: bytes) -> None: ...

    def revoked(self, user: str) -> None: ...

    def disabled(self) -> None: ...


class StoreMachine:
    def __init__(self, observer: LeaseObserver, auth_observer: AuthObserver | None = None) -> None:
        self.leases = LeaseTable()
        self.store = MvccStore(self.leases)
        self.hub = WatchHub(self.store)
        self.alarms: set[Alarm] = set()
        self.downgrade = ""  # the version to which it is enabled
        self.auth = AuthTable()
        self._retired: list[MvccStore] = []  # replaced by snapshots; large ones are freed in steps
        self._observer = observer
        self._auth_observer = auth_observer

    # -- StateMachine --

    def apply(self, index: int, commands: Sequence[bytes]) -> Sequence[Result]:
        results = [self._apply(c.decode(command)) for command in commands]
        self.hub.notify(self.store.take_events())
        return results

    def snapshot(self) -> MachineView:
        return MachineView(self)

    def restore(self, chunks: Iterable[bytes]) -> None:
        put_in_place = snapshot.finished(self.load(chunks))
        put_in_place()

    def load(self, chunks: Iterable[bytes]) -> Loading:
        """Build everything anew, then swap; a damaged snapshot leaves the old state in place. Raises Damaged."""
        head = _Head()
        keys = _split(chunks, head)
        first = next(keys, None)
        table = LeaseTable.load(head.leases)
        store = yield from snapshot.loading(_prepend(first, keys), table)

        def put_in_place() -> None:
            self._retired.append(self.store)
            self.leases, self.store, self.alarms = table, store, set(head.alarms)
            self.auth = AuthTable(head.users)
            self.downgrade = head.downgrade
            self.hub.reset(store)
            self._observer.replaced(table)

        return put_in_place

    def release_some(self, limit: int) -> bool:
        """Free about `limit` changes that nobody can read any more; False when there is nothing (more) to do."""
        if not self._retired or self._retired[-1].pins:  # a snapshot is being made of it
            return self.store.release_some(limit)
        if not self._retired[-1].dismantle(limit):
            self._retired.pop()
        return True

    # -- commands --

    def has_alarm(self, kind: c.AlarmType) -> bool:
        return any(alarm == kind for _, alarm in self.alarms)

    def _apply(self, command: c.Command) -> Result:
        try:
            if self.auth.enabled or isinstance(command, auth.As):
                command = self._authorized(command)
            self._refuse_under_alarm(command)
            return self._execute(command)
        except RequestError as error:
            return error

    def _authorized(self, command: c.Command) -> c.Command:
        """The command itself, if its user may do it. Who proposes in nobody's name may do what members do."""
        if not isinstance(command, auth.As):
            if isinstance(command, _NEEDS_USER):
                raise UserEmpty  # proposed by a member that did not know of authentication yet
            return command
        inner = c.decode(command.command)
        if self.auth.enabled:
            if command.auth_revision != self.auth.revision:
                raise OldRevision
            self._check_user(command.user, inner)
        return inner

    def _check_user(self, user: str, command: c.Command) -> None:
        match command:
            case PutRequest() | DeleteRangeRequest() | TxnRequest():
                authorize.check(self.auth, user, command, self.leases.keys_of)
            case c.LeaseRevoke():
                authorize.check_lease(self.auth, user, self.leases.keys_of(command.id))
            case _ if isinstance(command, auth.ManagementCommand):
                self.auth.check_admin(user)

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
            case c.SetDowngrade():
                self.downgrade = command.target
                return None
            case _ if isinstance(command, auth.AuthCommand):
                return self._change_auth(command)
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

    def _change_auth(self, command: auth.AuthCommand) -> auth.AuthResult:
        self.auth.apply(command)
        if self._auth_observer is not None:
            match command:
                case auth.AssignToken():
                    self._auth_observer.assigned(command.user, command.token_digest)
                case auth.UserDelete() | auth.UserChangePassword():
                    self._auth_observer.revoked(command.name)
                case auth.Disable():
                    self._auth_observer.disabled()
        return auth.AuthResult(self.store.revision)

    def _refuse_under_alarm(self, command: c.Command) -> None:
        if not self.alarms or isinstance(command, c.SetAlarm | c.LeaseRenew | c.LeaseCheckpoint):
            return
        if self.has_alarm("CORRUPT"):
            raise Corrupt
        if self.has_alarm("NOSPACE") and needs_space(command):
            raise NoSpace


_NEEDS_USER = PutRequest | DeleteRangeRequest | TxnRequest | c.LeaseRevoke | auth.ManagementCommand


def needs_space(command: c.Command) -> bool:
    """Would it use space? Deletes and compaction must go through when there is none left."""
    if isinstance(command, TxnRequest):
        return any(
            op.request_put is not None or (op.request_txn is not None and needs_space(op.request_txn))
            for op in (*command.success, *command.failure)
        )
    return isinstance(command, PutRequest | c.LeaseGrant)


_ALARMS, _USERS, _LEASES, _KEYS, _DOWNGRADE = b"A", b"U", b"L", b"K", b"D"
_encode = msgspec.msgpack.Encoder().encode
_decode_alarms = msgspec.msgpack.Decoder(list[Alarm]).decode
_decode_users = msgspec.msgpack.Decoder(auth.AuthState).decode
_decode_leases = msgspec.msgpack.Decoder(list[Lease]).decode


class MachineView:
    """The state at one moment, in chunks; see `MvccView` for why that costs nothing."""

    def __init__(self, machine: StoreMachine) -> None:
        self._alarms = sorted(machine.alarms)
        self._users = None if machine.auth.is_pristine else machine.auth.dump()
        self._downgrade = machine.downgrade
        self._leases = machine.leases.dump()
        self._keys = snapshot.MvccView(machine.store)

    def chunks(self) -> Iterator[bytes]:
        try:
            yield _ALARMS + _encode(self._alarms)
            if self._users is not None:
                yield _USERS + _encode(self._users)
            if self._downgrade:
                yield _DOWNGRADE + self._downgrade.encode()
            for start in range(0, len(self._leases), LEASES_PER_CHUNK):
                yield _LEASES + _encode(self._leases[start : start + LEASES_PER_CHUNK])
            yield from self._keys.chunks(_KEYS)
        finally:
            self.close()

    def close(self) -> None:
        self._keys.close()


class _Head:
    """What comes before the keys."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.users: auth.AuthState | None = None
        self.leases: list[Lease] = []
        self.downgrade = ""


def _split(chunks: Iterable[bytes], head: _Head) -> Iterator[bytes]:
    """Collect the head; yield the chunks of keys."""
    for chunk in chunks:
        kind, body = chunk[:1], chunk[1:]
        try:
            if kind == _KEYS:
                yield body
            elif kind == _ALARMS:
                head.alarms += _decode_alarms(body)
            elif kind == _USERS:
                head.users = _decode_users(body)
            elif kind == _LEASES:
                head.leases += _decode_leases(body)
            elif kind == _DOWNGRADE:
                head.downgrade = body.decode()
            else:
                raise snapshot.Damaged(f"the snapshot has a chunk of unknown kind {kind!r}")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise snapshot.Damaged(f"a chunk of the snapshot cannot be read: {error}") from error


def _prepend(first: bytes | None, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first is not None:
        yield first
    yield from rest
