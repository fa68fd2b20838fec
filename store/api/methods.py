"""The unary methods of the service: name → (request, handler), one row each, for every door.

Names are etcd's (`Service/Method`); a door adds to each the path and the encoder that are its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from store.api import messages as m
from store.api.auth_messages import AUTH, CONCURRENCY
from store.api.downgrade import downgrade
from store.api.service import StoreService
from store.mvcc import messages as kv

Handler = Callable[[StoreService, Any], Awaitable[Any]]
Encoder = Callable[[bytes, Any], bytes]  # (header, response)
Method = tuple[type[kv.Request], Handler]
Row = tuple[type[kv.Request], Handler, Encoder]

PACKAGES = {"Lock": "v3lockpb", "Election": "v3electionpb"}
YIELD_RECORDS = 500  # a long list is encoded in pieces of this many keys, others are served in between


def full_name(name: str) -> str:
    """`Service/Method` with the service's package, as in gRPC's paths."""
    return f"{PACKAGES.get(name.split('/')[0], 'etcdserverpb')}.{name}"


async def _status(service: StoreService, request: m.EmptyRequest) -> m.StatusResponse:
    return service.status()


METHODS: dict[str, Method] = {
    "KV/Range": (kv.RangeRequest, StoreService.range),
    "KV/Put": (kv.PutRequest, StoreService.put),
    "KV/DeleteRange": (kv.DeleteRangeRequest, StoreService.delete_range),
    "KV/Txn": (kv.TxnRequest, StoreService.txn),
    "KV/Compact": (kv.CompactionRequest, StoreService.compact),
    "Lease/LeaseGrant": (m.LeaseGrantRequest, lambda s, r: s.lease_grant(r.id, r.ttl_s)),
    "Lease/LeaseRevoke": (m.LeaseIdRequest, lambda s, r: s.lease_revoke(r.id)),
    "Lease/LeaseTimeToLive": (m.LeaseTimeToLiveRequest, lambda s, r: s.lease_time_to_live(r.id, r.keys)),
    "Lease/LeaseLeases": (m.EmptyRequest, lambda s, r: s.lease_list()),
    "Cluster/MemberList": (m.MemberListRequest, lambda s, r: s.cluster.list_members(r.linearizable)),
    "Cluster/MemberAdd": (m.MemberAddRequest, lambda s, r: s.cluster.add(r.peer_urls, r.is_learner)),
    "Cluster/MemberPromote": (m.MemberIdRequest, lambda s, r: s.cluster.promote(r.id)),
    "Cluster/MemberUpdate": (m.MemberUpdateRequest, lambda s, r: s.cluster.update(r.id, r.peer_urls)),
    "Cluster/MemberRemove": (m.MemberIdRequest, lambda s, r: s.cluster.remove(r.id)),
    "Maintenance/Status": (m.EmptyRequest, _status),
    "Maintenance/Alarm": (m.AlarmRequest, StoreService.alarm),
    "Maintenance/Defragment": (m.EmptyRequest, lambda s, r: s.defragment()),
    "Maintenance/Hash": (m.EmptyRequest, lambda s, r: s.hash_kv(0)),
    "Maintenance/HashKV": (m.HashKvRequest, lambda s, r: s.hash_kv(r.revision)),
    "Maintenance/MoveLeader": (m.MoveLeaderRequest, lambda s, r: s.cluster.move_leader(r.target_id)),
    "Maintenance/Downgrade": (m.DowngradeRequest, downgrade),
    **{f"Auth/{name}": row for name, row in AUTH.items()},
    **{
        f"{'Lock' if name in ('Lock', 'Unlock') else 'Election'}/{name}": row
        for name, row in CONCURRENCY.items()
    },
}
