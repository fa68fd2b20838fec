"""Requests and responses of leases, watches, membership and maintenance, as etcd's rpc.proto has them.

Field names are Python's; `name=` gives the wire's where they differ. Responses carry no header: a gateway
asks the service for one.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from store.api.commands import AlarmType
from store.mvcc.messages import Int64, Request
from store.raft.interface import Member

UInt64 = Annotated[int, msgspec.Meta(ge=0)]

FilterType = Literal["NOPUT", "NODELETE"]
DowngradeAction = Literal["VALIDATE", "ENABLE", "CANCEL"]
AlarmAction = Literal["GET", "ACTIVATE", "DEACTIVATE"]


class Header(msgspec.Struct, frozen=True):
    cluster_id: int
    member_id: int
    revision: int
    raft_term: int


# -- leases --


class LeaseGrantRequest(Request):
    ttl_s: Int64 = msgspec.field(default=0, name="TTL")
    id: Int64 = msgspec.field(default=0, name="ID")


class LeaseIdRequest(Request):
    id: Int64 = msgspec.field(default=0, name="ID")


class LeaseTimeToLiveRequest(Request):
    id: Int64 = msgspec.field(default=0, name="ID")
    keys: bool = False


class EmptyRequest(Request):
    pass


class LeaseTimeToLiveResponse(msgspec.Struct):
    id: int
    ttl_s: int
    granted_ttl_s: int
    keys: list[bytes]


class LeasesResponse(msgspec.Struct):
    ids: list[int]


# -- watches --


class WatchCreateRequest(Request):
    key: bytes = b""
    range_end: bytes = b""
    start_revision: Int64 = 0
    progress_notify: bool = False
    filters: list[FilterType] = msgspec.field(default_factory=list)
    prev_kv: bool = False
    watch_id: Int64 = 0
    fragment: bool = False


class WatchCancelRequest(Request):
    watch_id: Int64 = 0


class WatchProgressRequest(Request):
    pass


class WatchRequest(Request):
    """Exactly one is set."""

    create_request: WatchCreateRequest | None = None
    cancel_request: WatchCancelRequest | None = None
    progress_request: WatchProgressRequest | None = None


# -- membership --


class MemberIdRequest(Request):
    id: UInt64 = msgspec.field(default=0, name="ID")


class MemberAddRequest(Request):
    peer_urls: list[str] = msgspec.field(default_factory=list, name="peerURLs")
    is_learner: bool = msgspec.field(default=False, name="isLearner")


class MemberUpdateRequest(Request):
    id: UInt64 = msgspec.field(default=0, name="ID")
    peer_urls: list[str] = msgspec.field(default_factory=list, name="peerURLs")


class MemberListRequest(Request):
    linearizable: bool = False


class MembersResponse(msgspec.Struct):
    members: tuple[Member, ...]
    member: Member | None = None  # the one that was added


# -- maintenance --


class AlarmRequest(Request):
    action: AlarmAction = "GET"
    member_id: UInt64 = msgspec.field(default=0, name="memberID")
    alarm: AlarmType = "NONE"


class AlarmMember(msgspec.Struct):
    member_id: int
    alarm: AlarmType


class AlarmResponse(msgspec.Struct):
    alarms: list[AlarmMember]


class HashKvRequest(Request):
    revision: Int64 = 0


class HashResponse(msgspec.Struct):
    hash: int
    compact_revision: int
    hash_revision: int


class MoveLeaderRequest(Request):
    target_id: UInt64 = msgspec.field(default=0, name="targetID")


class DowngradeRequest(Request):
    action: DowngradeAction = "VALIDATE"
    version: str = ""


class DowngradeResponse(msgspec.Struct):
    version: str  # the cluster's


class StatusResponse(msgspec.Struct):
    version: str
    db_size_bytes: int
    leader: int
    raft_index: int
    raft_term: int
    raft_applied_index: int
    errors: list[str]
    is_learner: bool
    quota_bytes: int
    downgrade_target: str = ""  # set while a downgrade is enabled
