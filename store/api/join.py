"""Joining a running cluster: its identity and members are asked of it, through the client door.

The member was added before (`member add`), by its peer URLs; that is how it finds itself in the list. Who
answers may not have applied the addition yet, and is asked again for a while. The member shows its peer
certificate, which the store's CA has signed as it has the clients'.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from store.client import MemberInfo, StoreClient, StoreError
from store.component.process import FatalError
from store.raft import Join, Member

JOIN_TIMEOUT_S = 10.0
ADDED_TIMEOUT_S = 5.0
ADDED_PAUSE_S = 0.2


async def ask_cluster(
    endpoints: Sequence[str], tls: ssl.SSLContext, name: str, peer_urls: Sequence[str]
) -> Join:
    """Raises FatalError when nobody answers, or the cluster does not know the peer URLs."""
    async with StoreClient(endpoints, tls, request_timeout_s=JOIN_TIMEOUT_S) as client:
        try:
            status = await client.status()
            members = await client.members()
            deadline = asyncio.get_running_loop().time() + ADDED_TIMEOUT_S
            while not _own(members, peer_urls) and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(ADDED_PAUSE_S)
                members = await client.members()
        except StoreError as error:
            raise FatalError(f"--join-endpoints: the cluster does not answer: {error}") from error
    return Join(status.cluster_id, find_own(members, name, peer_urls))


def _own(members: Sequence[MemberInfo], peer_urls: Sequence[str]) -> list[MemberInfo]:
    return [member for member in members if set(member.peer_urls) & set(peer_urls)]


def find_own(members: Sequence[MemberInfo], name: str, peer_urls: Sequence[str]) -> list[Member]:
    """The members, with our name at our URLs."""
    own = _own(members, peer_urls)
    if not own:
        raise FatalError(f"the cluster has no member with the peer URL {', '.join(peer_urls)}: add it first")
    if own[0].name not in ("", name):
        raise FatalError(f"the member at {', '.join(peer_urls)} is {own[0].name!r}, not {name!r}")
    return [
        Member(
            member.id,
            name if member is own[0] else member.name,
            tuple(member.peer_urls),
            tuple(member.client_urls),
            member.is_learner,
        )
        for member in members
    ]
