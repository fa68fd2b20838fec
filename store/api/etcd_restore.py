"""A state machine from the buckets of an etcd's database; see `etcd_buckets`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from store.api.commands import AlarmType
from store.api.etcd_buckets import NUMBER, REVISION, TOMBSTONE
from store.api.grpc.protobuf import Malformed, declare, read
from store.api.leases import LeaseKeeper
from store.api.machine import Alarm, StoreMachine
from store.auth import messages as auth
from store.auth.table import AuthTable
from store.bbolt.reader import Reader
from store.lease.table import Lease, LeaseTable
from store.mvcc.index import TO_THE_END
from store.mvcc.messages import Record
from store.mvcc.snapshot import Damaged, rebuild
from store.mvcc.store import FIRST_REVISION


class KeyValue(msgspec.Struct):
    key: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    value: bytes = b""
    lease: int = 0


class _Lease(msgspec.Struct):
    id: int = 0
    ttl_s: int = 0
    remaining_s: int = 0


class _User(msgspec.Struct):
    name: str = ""
    password: bytes = b""
    roles: list[str] = msgspec.field(default_factory=list)


class _Role(msgspec.Struct):
    name: str = ""
    permissions: list[auth.Permission] = msgspec.field(default_factory=list)


class _Alarm(msgspec.Struct):
    member_id: int = 0
    alarm: AlarmType = "NONE"


declare(KeyValue, "key:1 create_revision:2 mod_revision:3 version:4 value:5 lease:6")
declare(_Lease, "id:1 ttl_s:2 remaining_s:3")
declare(_User, "name:1 password:2 roles:3")
declare(_Role, "name:1 permissions:2")
declare(_Alarm, "member_id:1 alarm:2")


def restore(reader: Reader) -> StoreMachine:
    """Raises Damaged, BadFile."""
    if b"key" not in reader.buckets:
        raise Damaged("the file has no bucket of keys: it is not etcd's")
    try:
        machine = StoreMachine(LeaseKeeper(lambda: 0.0))
        machine.leases = LeaseTable.load(_leases(reader))
        machine.auth = AuthTable(_auth(reader))
        machine.alarms = set(_alarms(reader))
        _keys(reader, machine)
    except (Malformed, UnicodeDecodeError) as error:
        raise Damaged(f"an entry cannot be read: {error}") from error
    return machine


def _keys(reader: Reader, machine: StoreMachine) -> None:
    compacted = dict(reader.entries(b"meta")).get(b"scheduledCompactRev", b"")
    compact_revision = _revision(compacted)[0] if compacted else 0
    base: dict[bytes, Record] = {}
    log: list[Record] = []
    for record in _records(reader):
        if record.mod_revision >= compact_revision:
            log.append(record)
        elif record.version:
            base[record.key] = record
        else:
            base.pop(record.key, None)
    revision = max(FIRST_REVISION, compact_revision, log[-1].mod_revision if log else 0)
    store = rebuild(revision, compact_revision, base.values(), log, machine.leases)
    for key in store.index.live_keys(b"", TO_THE_END):
        live = store.index.current(key)
        if live is not None and live.lease and machine.leases.exists(live.lease):
            machine.leases.attach(live.lease, key)
    machine.store = store


def _records(reader: Reader) -> Iterator[Record]:
    before = 0
    for name, value in reader.entries(b"key"):
        revision, deleted = _revision(name)
        if revision < before:
            raise Damaged(f"revision {revision} comes after {before}")
        before = revision
        kv = read(KeyValue, value)
        if deleted:
            yield Record(kv.key, b"", 0, revision, 0)
        elif kv.mod_revision != revision or not 0 < kv.create_revision <= revision or kv.version < 1:
            raise Damaged(f"the key at revision {revision} contradicts itself")
        else:
            yield Record(kv.key, kv.value, kv.create_revision, revision, kv.version, kv.lease)


def _revision(name: bytes) -> tuple[int, bool]:
    """(the revision, whether it is a deletion)."""
    if len(name) == REVISION.size or (len(name) == REVISION.size + 1 and name[-1:] == TOMBSTONE):
        revision, separator, _ = REVISION.unpack_from(name)
        if separator == b"_" and revision < 2**63:
            return revision, len(name) > REVISION.size
    raise Damaged(f"{name!r} is no revision")


def _leases(reader: Reader) -> Iterator[Lease]:
    for _, value in reader.entries(b"lease"):
        lease = read(_Lease, value)
        yield Lease(lease.id, lease.ttl_s, 0, lease.remaining_s)


def _alarms(reader: Reader) -> Iterator[Alarm]:
    for name, _ in reader.entries(b"alarm"):
        alarm = read(_Alarm, name)
        yield alarm.member_id, alarm.alarm


def _auth(reader: Reader) -> auth.AuthState:
    settings = dict(reader.entries(b"auth"))
    revision = settings.get(b"authRevision", b"")
    users = [read(_User, value) for _, value in reader.entries(b"authUsers")]
    roles = [read(_Role, value) for _, value in reader.entries(b"authRoles")]
    return auth.AuthState(
        settings.get(b"authEnabled") == b"\x01",
        NUMBER.unpack(revision)[0] if len(revision) == NUMBER.size else 1,
        [auth.User(user.name, user.password, sorted(user.roles)) for user in users],
        [auth.Role(role.name, list(role.permissions)) for role in roles],
    )
