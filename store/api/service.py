"""The etcd v3 service: typed requests in, typed responses out, whatever the door they came through.

Writes are proposed to the engine; linearizable reads wait for the read index and are answered from the
local state machine, serializable ones at once. Requests are checked before they are proposed, so that a
malformed one costs no log entry. Every failure is a `RequestError`. Leases' time is kept in `leases`,
membership in `cluster`, users in `auth`.

While authentication is on, a request is allowed what its `caller` is: a door serves it by
`on_behalf_of(user)`. Nobody is the caller of the service itself; the member's own work is `as_member()`.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from store.api import commands as c
from store.api.auth import MAX_PASSWORD_CHECKS, AuthService
from store.api.cluster import ClusterService
from store.api.errors import BadFeatureForLearner, BadRequest, Corrupt, NoLeader, RequestTooLarge, from_raft
from store.api.leases import LeaseKeeper
from store.api.machine import AlarmResult, LeaseResult, StoreMachine, needs_space
from store.api.messages import (
    AlarmMember,
    AlarmRequest,
    AlarmResponse,
    HashResponse,
    Header,
    LeasesResponse,
    LeaseTimeToLiveResponse,
    StatusResponse,
)
from store.auth import authorize
from store.auth.messages import As
from store.lease.table import MAX_TTL_S
from store.mvcc.errors import LeaseTtlTooLarge, NoSpace, RequestError
from store.mvcc.messages import (
    CompactionRequest,
    CompactionResponse,
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    RequestOp,
    TxnRequest,
    TxnResponse,
)
from store.mvcc.query import check_range
from store.mvcc.txn import MAX_TXN_OPS, check_delete, check_put, check_txn, is_read_only
from store.raft.interface import Engine, RaftError, RaftStatus, Role

VERSION = "3.6.0"  # the etcd API that this store presents
CLUSTER_VERSION = "3.6"
MAX_REQUEST_BYTES = 3 * 512 * 1024  # 1.5 MiB, etcd's
QUOTA_BYTES = 2 * 1024**3  # etcd's default
STATUS_AGE_S = 0.02
NEVER_COMPACTED = -1  # as etcd says it


@dataclass(slots=True)
class Limits:
    request_bytes: int = MAX_REQUEST_BYTES
    txn_ops: int = MAX_TXN_OPS
    quota_bytes: int = QUOTA_BYTES
    request_timeout_s: float = 7.0  # etcd's: 5 s and two election timeouts
    min_lease_ttl_s: int = 2


@dataclass(slots=True)
class Counters:
    """What the service counts for /metrics; plain numbers, since they are on the hot path."""

    put: int = 0
    range: int = 0
    delete: int = 0
    txn: int = 0
    leases_granted: int = 0
    leases_revoked: int = 0
    leases_renewed: int = 0
    read_indexes_failed: int = 0
    proposals_failed: int = 0
    proposals_pending: int = 0


class StoreService:
    def __init__(
        self,
        engine: Engine,
        machine: StoreMachine,
        leases: LeaseKeeper,
        limits: Limits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.machine = machine
        self.leases = leases
        self.limits = limits or Limits()
        self.counters = Counters()
        self.caller: str | None = ""
        self.password_checks = asyncio.Semaphore(MAX_PASSWORD_CHECKS)
        self.cluster = ClusterService(engine, self.auth.require_admin)
        self._now = now
        self._raft_status: RaftStatus | None = None
        self._raft_status_at = 0.0

    # -- who asks --

    def on_behalf_of(self, user: str | None) -> StoreService:
        """The same service, for one caller."""
        view = copy.copy(self)
        view.caller = user
        view.cluster = ClusterService(self.engine, view.auth.require_admin)
        return view

    def as_member(self) -> StoreService:
        return self.on_behalf_of(None)

    @property
    def auth(self) -> AuthService:
        return AuthService(self)

    def _authorize(self, request: authorize.Operation) -> None:
        """Called after the read index: what was revoked before a read began does not allow it."""
        if self.caller is not None:
            authorize.check(self.machine.auth, self.caller, request, self.machine.leases.keys_of)

    def watch_refusal(self, key: bytes, range_end: bytes) -> str:
        """Why the caller may not watch this, or nothing. The code is in the text, as Go prints it: clients of
        etcd tell the reasons of a cancelled watch apart by it."""
        if not self.machine.auth.enabled:
            return ""
        try:
            self._authorize(RangeRequest(key, range_end))
        except RequestError as error:
            name = error.code.name.title().replace("_", "")
            return f"rpc error: code = {name} desc = {error}"
        return ""

    # -- about this member --

    def raft(self) -> RaftStatus:
        """The engine's status, at most `STATUS_AGE_S` old: gathering it costs as much as a put."""
        now = self._now()
        if self._raft_status is None or now - self._raft_status_at > STATUS_AGE_S:
            self._raft_status, self._raft_status_at = self.engine.status(), now
        return self._raft_status

    def header(self, revision: int | None = None) -> Header:
        status = self.raft()
        at = self.machine.store.revision if revision is None else revision
        return Header(status.cluster_id, status.member_id, at, status.term)

    @property
    def has_leader(self) -> bool:
        return self.raft().leader_id != 0

    def require_leader(self) -> None:
        """For requests that ask not to wait on a member that is cut off (etcd's `hasleader`)."""
        if not self.has_leader:
            raise NoLeader

    # -- keys and values --

    async def range(self, request: RangeRequest) -> RangeResponse:
        check_range(request)
        self.counters.range += 1
        self._refuse_corrupt()
        if not request.serializable:
            await self.linearize()
        if self.machine.auth.enabled:
            self._authorize(request)
        return self.machine.store.range(request)

    async def put(self, request: PutRequest) -> PutResponse:
        check_put(request)
        self.counters.put += 1
        response: PutResponse = await self._write(request)
        return response

    async def delete_range(self, request: DeleteRangeRequest) -> DeleteRangeResponse:
        check_delete(request)
        self.counters.delete += 1
        response: DeleteRangeResponse = await self._write(request)
        return response

    async def txn(self, request: TxnRequest) -> TxnResponse:
        check_txn(request, self.limits.txn_ops)
        self.counters.txn += 1
        if is_read_only(request):
            self._refuse_corrupt()
            if not _is_serializable(request):
                await self.linearize()
            if self.machine.auth.enabled:
                self._authorize(request)
            return self.machine.store.txn(request)
        response: TxnResponse = await self._write(request)
        return response

    async def compact(self, request: CompactionRequest) -> CompactionResponse:
        response: CompactionResponse = await self.propose(request)
        if request.physical:
            await self.release()
        return response

    # -- leases --

    async def lease_grant(self, id: int, ttl_s: int) -> LeaseResult:
        if ttl_s > MAX_TTL_S:
            raise LeaseTtlTooLarge
        ttl_s = max(ttl_s, self.limits.min_lease_ttl_s)
        result: LeaseResult = await self._write(c.LeaseGrant(id or secrets.randbits(62) + 1, ttl_s))
        self.counters.leases_granted += 1
        return result

    async def lease_revoke(self, id: int) -> LeaseResult:
        result: LeaseResult = await self.propose(c.LeaseRevoke(id))
        self.counters.leases_revoked += 1
        return result

    async def lease_keep_alive(self, id: int) -> LeaseResult:
        """Goes through the log, so that every member knows of it and a new leader cannot have missed it."""
        result: LeaseResult = await self.propose(c.LeaseRenew(id))
        self.counters.leases_renewed += 1
        return result

    async def lease_time_to_live(self, id: int, keys: bool) -> LeaseTimeToLiveResponse:
        await self.linearize()
        lease = self.machine.leases.find(id)
        if lease is None:
            return LeaseTimeToLiveResponse(id, -1, 0, [])
        bound = sorted(lease.keys) if keys else []
        for key in bound if self.machine.auth.enabled else ():
            self._authorize(RangeRequest(key))
        return LeaseTimeToLiveResponse(id, self.leases.remaining_s(id), lease.ttl_s, bound)

    async def lease_list(self) -> LeasesResponse:
        await self.linearize()
        return LeasesResponse(self.machine.leases.ids())

    # -- maintenance --

    def status(self) -> StatusResponse:
        raft = self.engine.status()
        errors = [f"memberID:{member} alarm:{kind} " for member, kind in sorted(self.machine.alarms)]
        if not raft.leader_id:
            errors.append(NoLeader.message)
        return StatusResponse(
            version=VERSION,
            db_size_bytes=self.machine.store.size_bytes,
            leader=raft.leader_id,
            raft_index=raft.commit_index,
            raft_term=raft.term,
            raft_applied_index=raft.applied_index,
            errors=errors,
            is_learner=raft.role is Role.LEARNER,
            quota_bytes=self.limits.quota_bytes,
            downgrade_target=self.machine.downgrade,
        )

    async def alarm(self, request: AlarmRequest) -> AlarmResponse:
        if request.action == "GET":
            await self.linearize()
            kinds = [
                (member, kind)
                for member, kind in sorted(self.machine.alarms)
                if request.alarm in ("NONE", kind) and request.member_id in (0, member)
            ]
        else:
            if request.member_id >= 2**64:
                raise BadRequest("etcdserver: the member ID is out of range")
            active = request.action == "ACTIVATE"
            command = c.SetAlarm(request.member_id, request.alarm, active)
            result: AlarmResult = await self.propose(command)
            kinds = result.alarms
        return AlarmResponse([AlarmMember(member, kind) for member, kind in kinds])

    async def hash_kv(self, revision: int) -> HashResponse:
        await self.linearize()
        self.auth.require_admin()
        store = self.machine.store
        compacted = store.compact_revision or NEVER_COMPACTED
        return HashResponse(store.hash_at(revision), compacted, revision or store.revision)

    async def defragment(self) -> None:
        """There is no file with holes: the same as what is done anyway, at once."""
        self.auth.require_admin()
        await self.release()

    async def release(self) -> None:
        """Free what compaction left to free, in steps."""
        more = True
        while more:
            more = self.machine.store.release_some(RELEASE_STEP)
            await asyncio.sleep(0)

    # -- proposing and reading --

    async def _write(self, command: c.Command) -> Any:
        """Propose something that may use space; at the quota raise the alarm instead, as etcd does."""
        store = self.machine.store
        if store.size_bytes >= self.limits.quota_bytes and needs_space(command):
            await self._raise_no_space()
            raise NoSpace
        return await self.propose(command)

    async def _raise_no_space(self) -> None:
        member_id = self.engine.status().member_id
        if (member_id, "NOSPACE") not in self.machine.alarms:
            await self.propose(c.SetAlarm(member_id, "NOSPACE", active=True))

    async def propose(self, command: c.Command) -> Any:
        if self.machine.auth.enabled and self.caller is not None:
            command = As(self.caller, self.machine.auth.revision, c.encode(command))
        data = c.encode(command)
        if len(data) > self.limits.request_bytes:
            raise RequestTooLarge
        self.counters.proposals_pending += 1
        try:
            result = await self.engine.propose(data, self.limits.request_timeout_s)
        except RaftError as error:
            self.counters.proposals_failed += 1
            raise from_raft(error) from error
        finally:
            self.counters.proposals_pending -= 1
        if isinstance(result, RequestError):
            raise result.with_traceback(None)
        return result

    async def linearize(self) -> None:
        try:
            await self.engine.read_index(self.limits.request_timeout_s)
        except RaftError as error:
            self.counters.read_indexes_failed += 1
            if self.engine.status().role is Role.LEARNER:
                raise BadFeatureForLearner from error
            raise from_raft(error) from error

    def _refuse_corrupt(self) -> None:
        if self.machine.alarms and self.machine.has_alarm("CORRUPT"):
            raise Corrupt


RELEASE_STEP = 500  # compacted changes freed before other requests get their turn


def _is_serializable(request: TxnRequest) -> bool:
    return all(_op_is_serializable(op) for op in (*request.success, *request.failure))


def _op_is_serializable(op: RequestOp) -> bool:
    if op.request_range is not None:
        return op.request_range.serializable
    return op.request_txn is not None and _is_serializable(op.request_txn)
