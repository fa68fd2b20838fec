"""Who the members are, and how that changes.

Rules, as in etcd's raft: one change at a time, appended only after the one before is applied (two quorums of
neighbouring configurations always share a member); it takes effect when it is applied. A learner gets the log and
answers for nothing: it neither votes nor counts. Ids are etcd's: hashes of the peer URLs and the cluster's token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import msgpack

from store.raft.interface import Member, MembershipError

_ID_BYTES = 8


def member_id(peer_urls: Sequence[str], cluster_token: str) -> int:
    """etcd's rule (`computeMemberId`) for the members of a new cluster."""
    digest = hashlib.sha1(
        ("".join(sorted(peer_urls)) + cluster_token).encode(), usedforsecurity=False
    ).digest()
    return int.from_bytes(digest[:_ID_BYTES], "big")


def cluster_id(member_ids: Iterable[int]) -> int:
    """etcd's rule (`genID`): the first members' ids name the cluster for ever."""
    joined = b"".join(each.to_bytes(_ID_BYTES, "big") for each in sorted(member_ids))
    return int.from_bytes(hashlib.sha1(joined, usedforsecurity=False).digest()[:_ID_BYTES], "big")


class Operation(StrEnum):
    ADD = "add"
    PROMOTE = "promote"
    REMOVE = "remove"
    UPDATE = "update"
    PUBLISH = "publish"  # a member says where its clients reach it
    REFUSE = (
        "refuse"  # what the leader makes of a change that is not possible now: the text goes to the asker
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as it stands in the log. For REMOVE and PROMOTE only the member's id counts."""

    operation: Operation
    member: Member
    why: str = ""

    def pack(self) -> bytes:
        packed: bytes = msgpack.packb((self.operation.value, _pack_member(self.member), self.why))
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> Change:
        operation, member, why = msgpack.unpackb(data, use_list=False)
        return cls(Operation(operation), _unpack_member(member), why)


@dataclass(frozen=True, slots=True)
class Membership:
    members: Mapping[int, Member]

    @classmethod
    def initial(cls, peer_urls: Mapping[str, Sequence[str]], cluster_token: str) -> Membership:
        members = [
            Member(member_id(urls, cluster_token), name, tuple(urls), ()) for name, urls in peer_urls.items()
        ]
        if len({each.id for each in members}) != len(members):
            raise ValueError("two members of the initial cluster have the same peer URLs")
        return cls({each.id: each for each in members})

    @property
    def cluster_id(self) -> int:
        """Of a cluster whose first members these are."""
        return cluster_id(self.members)

    @property
    def voters(self) -> frozenset[int]:
        return frozenset(each.id for each in self.members.values() if not each.is_learner)

    @property
    def learners(self) -> frozenset[int]:
        return frozenset(each.id for each in self.members.values() if each.is_learner)

    def by_name(self, name: str) -> Member | None:
        return next((each for each in self.members.values() if each.name == name), None)

    def sorted(self) -> tuple[Member, ...]:
        return tuple(sorted(self.members.values(), key=lambda each: each.id))

    def check(self, change: Change) -> None:
        """Raises MembershipError if the change makes no sense here."""
        operation, member = change.operation, change.member
        known = self.members.get(member.id)
        if operation is Operation.REFUSE:
            raise MembershipError(change.why)
        if operation is Operation.ADD:
            self._check_addition(member)
        elif known is None:
            raise MembershipError("member not found")
        elif operation is Operation.PROMOTE and not known.is_learner:
            raise MembershipError("can only promote a learner member")
        elif operation is Operation.REMOVE and self.voters == {member.id}:
            raise MembershipError("the last voting member cannot be removed")
        elif operation is Operation.UPDATE and self._url_owner(member) not in (None, member.id):
            raise MembershipError("peer URLs already exist")

    def apply(self, change: Change) -> Membership:
        """The members after the change. Raises MembershipError; the same on every member."""
        self.check(change)
        operation, member = change.operation, change.member
        members = dict(self.members)
        if operation is Operation.ADD:
            members[member.id] = member
        elif operation is Operation.REMOVE:
            del members[member.id]
        elif operation is Operation.PROMOTE:
            members[member.id] = replace(members[member.id], is_learner=False)
        elif operation is Operation.UPDATE:
            members[member.id] = replace(members[member.id], peer_urls=member.peer_urls)
        else:
            members[member.id] = replace(members[member.id], name=member.name, client_urls=member.client_urls)
        return Membership(members)

    def pack(self) -> list[tuple[Any, ...]]:
        return [_pack_member(each) for each in self.sorted()]

    @classmethod
    def unpack(cls, data: Iterable[Sequence[Any]]) -> Membership:
        members = [_unpack_member(each) for each in data]
        return cls({each.id: each for each in members})

    def _check_addition(self, member: Member) -> None:
        if member.id in self.members:
            raise MembershipError("member ID already exist")
        if self._url_owner(member) is not None:
            raise MembershipError("peer URLs already exist")
        if member.name and self.by_name(member.name) is not None:
            raise MembershipError(f"there is a member named {member.name!r} already")

    def _url_owner(self, member: Member) -> int | None:
        urls = set(member.peer_urls)
        return next((each.id for each in self.members.values() if urls & set(each.peer_urls)), None)


def _pack_member(member: Member) -> tuple[Any, ...]:
    return member.id, member.name, member.peer_urls, member.client_urls, member.is_learner


def _unpack_member(data: Sequence[Any]) -> Member:
    identifier, name, peer_urls, client_urls, is_learner = data
    return Member(identifier, name, tuple(peer_urls), tuple(client_urls), is_learner)
