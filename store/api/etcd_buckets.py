"""The state machine as the buckets of etcd's database, and back.

    key                  revision → mvccpb.KeyValue;  revision = main:u64 "_" sub:u64 ["t" for a deletion]
    lease                id:u64 → leasepb.Lease
    alarm                etcdserverpb.AlarmMember → nothing
    auth                 authEnabled → u8, authRevision → u64
    authUsers, authRoles name → authpb.User, authpb.Role
    members              id in hex → JSON
    meta                 consistent_index, term, scheduledCompactRev, finishedCompactRev, confState

Numbers are big-endian. What etcd writes and does not need for its data (its version, members removed) is left
out, and so are the members when a file is read: who restores names them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from operator import attrgetter
from struct import Struct

import orjson

from store.api.grpc import responses as wire
from store.api.grpc.protobuf import bytes_field, message_field, number_field, text_field, varint
from store.api.machine import StoreMachine
from store.auth import messages as auth
from store.bbolt.writer import Entry, Source
from store.lease.table import Lease
from store.mvcc.messages import Record
from store.mvcc.snapshot import MvccView
from store.raft.interface import RaftStatus

PERMISSIONS = ("READ", "WRITE", "READWRITE")  # by their numbers
BATCH = 1000  # entries handed on at once

REVISION = Struct(">QcQ")
NUMBER = Struct(">Q")
TOMBSTONE = b"t"

_mod_revision = attrgetter("mod_revision")


class EtcdView:
    """The state at one moment; every bucket may be gone through as often as needed until `close`."""

    def __init__(self, machine: StoreMachine, status: RaftStatus) -> None:
        self._status = status
        self._compact_revision = machine.store.compact_revision
        self._released = machine.store.log.position(machine.store.compact_revision) == 0
        self._alarms = sorted(machine.alarms)
        self._auth = machine.auth.dump()
        self._leases = sorted(machine.leases.dump(), key=lambda lease: lease.id)
        self._keys = MvccView(machine.store)
        self._base: list[Record] | None = None

    def close(self) -> None:
        self._keys.close()

    def buckets(self) -> dict[bytes, Source]:
        return {
            b"key": self._key_entries,
            b"lease": self._lease_entries,
            b"alarm": lambda: [
                sorted((number_field(1, m) + number_field(2, wire.ALARMS[a]), b"") for m, a in self._alarms)
            ],
            b"auth": lambda: [
                [
                    (b"authEnabled", bytes((self._auth.enabled,))),
                    (b"authRevision", NUMBER.pack(self._auth.revision)),
                ]
            ],
            b"authUsers": lambda: [sorted((u.name.encode(), _user(u)) for u in self._auth.users)],
            b"authRoles": lambda: [sorted((r.name.encode(), _role(r)) for r in self._auth.roles)],
            b"cluster": list,
            b"members": lambda: [sorted(_members(self._status))],
            b"members_removed": list,
            b"meta": lambda: [sorted(self._meta())],
        }

    def _meta(self) -> Iterator[Entry]:
        yield b"consistent_index", NUMBER.pack(self._status.applied_index)
        yield b"term", NUMBER.pack(self._status.term)
        voters = [each.id for each in self._status.members if not each.is_learner]
        yield b"confState", orjson.dumps({"voters": voters, "auto_leave": False})
        if self._compact_revision:
            revision = REVISION.pack(self._compact_revision, b"_", 0)
            yield b"scheduledCompactRev", revision
            if self._released:  # else etcd does the rest
                yield b"finishedCompactRev", revision

    def _lease_entries(self) -> Iterator[list[Entry]]:
        for at in range(0, len(self._leases), BATCH):
            yield [(NUMBER.pack(each.id), _lease(each)) for each in self._leases[at : at + BATCH]]

    def _key_entries(self) -> Iterator[list[Entry]]:
        if self._base is None:
            self._base = []
            for piece in self._sorted_base():
                self._base += piece
                yield []
        revision, sub = 0, 0
        batches = (self._base[at : at + BATCH] for at in range(0, len(self._base), BATCH))
        for records in batches:
            entries, revision, sub = _entries(records, revision, sub)
            yield entries
        for records in self._keys.log():
            entries, revision, sub = _entries(records, revision, sub)
            yield entries

    def _sorted_base(self) -> Iterator[list[Record]]:
        """By revision, without ever sorting all of it in one go."""
        runs: list[list[Record]] = []
        for records in self._keys.base():
            runs.append(sorted(records, key=_mod_revision))
            yield []
        piece: list[Record] = []
        for record in merge(*runs, key=_mod_revision):
            piece.append(record)
            if len(piece) == BATCH:
                yield piece
                piece = []
        yield piece


def _entries(records: Iterable[Record], revision: int, sub: int) -> tuple[list[Entry], int, int]:
    """The entries of changes in order; the first may go on with the revision of the ones before."""
    entries: list[Entry] = []
    for record in records:
        sub = sub + 1 if record.mod_revision == revision else 0
        revision = record.mod_revision
        key = REVISION.pack(revision, b"_", sub)
        if record.version:
            entries.append((key, wire.record(record)))
        else:
            entries.append((key + TOMBSTONE, b"\x0a" + varint(len(record.key)) + record.key))
    return entries, revision, sub


def _lease(lease: Lease) -> bytes:
    return number_field(1, lease.id) + number_field(2, lease.ttl_s) + number_field(3, lease.remaining_s)


def _user(user: auth.User) -> bytes:
    roles = b"".join([text_field(3, role) for role in user.roles])
    options = message_field(4, number_field(1, 1)) if not user.password_hash else b""
    return text_field(1, user.name) + bytes_field(2, user.password_hash) + roles + options


def _role(role: auth.Role) -> bytes:
    return text_field(1, role.name) + b"".join(
        [
            message_field(
                2,
                number_field(1, PERMISSIONS.index(each.type))
                + bytes_field(2, each.key)
                + bytes_field(3, each.range_end),
            )
            for each in role.permissions
        ]
    )


def _members(status: RaftStatus) -> Iterator[Entry]:
    for member in status.members:
        fields = {"id": member.id, "peerURLs": list(member.peer_urls), "name": member.name}
        if member.is_learner:
            fields["isLearner"] = True
        yield f"{member.id:x}".encode(), orjson.dumps({**fields, "clientURLs": list(member.client_urls)})
