"""Field numbers of etcd's requests; the types are those of the structs that the service takes.

Where a name differs from etcd's (`ttl_s` is TTL), the struct says so. Reserved numbers stay unused.
"""

from __future__ import annotations

from store.api import auth_messages as a
from store.api import messages as m
from store.api.grpc.protobuf import declare
from store.auth.messages import Permission
from store.mvcc import messages as kv

declare(
    kv.RangeRequest,
    "key:1 range_end:2 limit:3 revision:4 sort_order:5 sort_target:6 serializable:7 keys_only:8 count_only:9 "
    "min_mod_revision:10 max_mod_revision:11 min_create_revision:12 max_create_revision:13",
)
declare(kv.PutRequest, "key:1 value:2 lease:3 prev_kv:4 ignore_value:5 ignore_lease:6")
declare(kv.DeleteRangeRequest, "key:1 range_end:2 prev_kv:3")
declare(
    kv.Compare,
    "result:1 target:2 key:3 version:4 create_revision:5 mod_revision:6 value:7 lease:8 range_end:64",
)
declare(kv.RequestOp, "request_range:1 request_put:2 request_delete_range:3 request_txn:4")
declare(kv.TxnRequest, "compare:1 success:2 failure:3")
declare(kv.CompactionRequest, "revision:1 physical:2")

declare(m.LeaseGrantRequest, "ttl_s:1 id:2")
declare(m.LeaseIdRequest, "id:1")
declare(m.LeaseTimeToLiveRequest, "id:1 keys:2")
declare(m.EmptyRequest, "")

declare(
    m.WatchCreateRequest,
    "key:1 range_end:2 start_revision:3 progress_notify:4 filters:5 prev_kv:6 watch_id:7 fragment:8",
)
declare(m.WatchCancelRequest, "watch_id:1")
declare(m.WatchProgressRequest, "")
declare(m.WatchRequest, "create_request:1 cancel_request:2 progress_request:3")

declare(m.MemberIdRequest, "id:1")
declare(m.MemberAddRequest, "peer_urls:1 is_learner:2")
declare(m.MemberUpdateRequest, "id:1 peer_urls:2")
declare(m.MemberListRequest, "linearizable:1")

declare(m.AlarmRequest, "action:1 member_id:2 alarm:3")
declare(m.HashKvRequest, "revision:1")
declare(m.MoveLeaderRequest, "target_id:1")
declare(m.DowngradeRequest, "action:1 version:2")

declare(a.AuthenticateRequest, "name:1 password:2")
declare(a.UserAddOptions, "no_password:1")
declare(a.UserAddRequest, "name:1 password:2 options:3 hashed_password:4")
declare(a.NameRequest, "name:1")
declare(a.RoleRequest, "role:1")
declare(a.ChangePasswordRequest, "name:1 password:2 hashed_password:3")
declare(a.GrantRoleRequest, "user:1 role:2")
declare(a.RevokeRoleRequest, "name:1 role:2")
declare(Permission, "type:1 key:2 range_end:3")
declare(a.GrantPermissionRequest, "name:1 perm:2")
declare(a.RevokePermissionRequest, "role:1 key:2 range_end:3")

declare(a.LockRequest, "name:1 lease:2")
declare(a.UnlockRequest, "key:1")
declare(a.CampaignRequest, "name:1 lease:2 value:3")
declare(a.LeaderKeyMessage, "name:1 key:2 rev:3 lease:4")
declare(a.ProclaimRequest, "leader:1 value:2")
declare(a.LeaderRequest, "name:1")
declare(a.ResignRequest, "leader:1")
