"""Membership: list, add, promote, update, remove, move the leader; the engine does it, the rules of etcd
are here."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from store.api.errors import BadRequest, MemberChangeRefused, MemberNotFound, NotLeader, from_raft
from store.api.messages import MembersResponse
from store.raft.interface import Engine, Member, RaftError, Role
from store.raft.membership import member_id


class ClusterService:
    def __init__(self, engine: Engine, require_admin: Callable[[], None]) -> None:
        self._engine = engine
        self._require_admin = require_admin

    async def list_members(self, linearizable: bool) -> MembersResponse:
        if linearizable:
            await _guard(self._engine.read_index())
        return MembersResponse(self._engine.status().members)

    async def add(self, peer_urls: list[str], is_learner: bool) -> MembersResponse:
        self._require_admin()
        self._check_urls(peer_urls, but=0)
        member = Member(new_member_id(peer_urls), "", tuple(sorted(peer_urls)), (), is_learner)
        await _guard(self._engine.add_member(member))
        return MembersResponse(self._engine.status().members, member)

    async def promote(self, id: int) -> MembersResponse:
        self._require_admin()
        if not self._find(id).is_learner:
            raise MemberChangeRefused("etcdserver: can only promote a learner member")
        await _guard(self._engine.promote_member(id))
        return MembersResponse(self._engine.status().members)

    async def update(self, id: int, peer_urls: list[str]) -> MembersResponse:
        self._require_admin()
        member = self._find(id)
        self._check_urls(peer_urls, but=id)
        changed = Member(id, member.name, tuple(sorted(peer_urls)), member.client_urls, member.is_learner)
        await _guard(self._engine.update_member(changed))
        return MembersResponse(self._engine.status().members)

    async def remove(self, id: int) -> MembersResponse:
        self._require_admin()
        self._find(id)
        await _guard(self._engine.remove_member(id))
        return MembersResponse(self._engine.status().members)

    async def move_leader(self, target_id: int) -> None:
        self._require_admin()
        if self._engine.status().role is not Role.LEADER:
            raise NotLeader
        members = {member.id: member for member in self._engine.status().members}
        if target_id not in members or members[target_id].is_learner:
            raise MemberChangeRefused("etcdserver: bad leader transferee")
        await _guard(self._engine.transfer_leadership(target_id))

    def _find(self, id: int) -> Member:
        for member in self._engine.status().members:
            if member.id == id:
                return member
        raise MemberNotFound

    def _check_urls(self, urls: list[str], but: int) -> None:
        if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
            raise BadRequest("etcdserver: given member URLs are invalid")
        taken = {url for m in self._engine.status().members if m.id != but for url in m.peer_urls}
        if taken.intersection(urls):
            raise MemberChangeRefused("etcdserver: Peer URLs already exists")


def new_member_id(peer_urls: list[str]) -> int:
    """A new one each time: a member that comes back under its old URLs is another member."""
    return member_id(peer_urls, secrets.token_hex(16))


async def _guard(change: Awaitable[Any]) -> None:
    try:
        await change
    except RaftError as error:
        raise from_raft(error) from error
