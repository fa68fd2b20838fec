"""The asynchronous client of an etcd v3 store, over its JSON gateway: Balsa's own store, or a real etcd.

A `StoreClient` may be made anywhere; it touches the network only inside a running loop. Every method raises
the errors of `store.client.errors` and nothing else. See `transport` for what is retried and `watch` for
how a watch resumes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from store.client import codec
from store.client import types as t
from store.client.endpoints import Endpoint
from store.client.errors import LeaseNotFound, StoreError
from store.client.lease import LeaseKeeper
from store.client.transport import Transport
from store.client.watch import Watch

REQUEST_TIMEOUT_S = 5.0


class StoreClient:
    def __init__(
        self,
        endpoints: Sequence[str],
        ssl_context: ssl.SSLContext | None = None,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._transport = Transport(endpoints, ssl_context, request_timeout_s)
        self._watches: set[Watch] = set()

    async def __aenter__(self) -> StoreClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all watches and close all connections."""
        await asyncio.gather(*(watch.close() for watch in list(self._watches)))
        await self._transport.close()

    # -- keys and values --

    async def range(self, key: bytes, range_end: bytes = b"", **options: Any) -> t.RangeResponse:
        """Read one key or a range; the options are those of `types.RangeOp` (limit, revision, serializable,
        …)."""
        operation = t.RangeOp(key, range_end, **options)
        body = await self._transport.call(
            "/v3/kv/range",
            codec.encode(codec.range_request(operation)),
            idempotent=True,
            needs_leader=not operation.serializable,
        )
        return codec.decode(codec.RangeBody, body).public()

    async def put(
        self,
        key: bytes,
        value: bytes,
        lease: int = 0,
        prev_kv: bool = False,
        ignore_value: bool = False,
        ignore_lease: bool = False,
    ) -> t.PutResponse:
        request = codec.put_request(t.PutOp(key, value, lease, prev_kv, ignore_value, ignore_lease))
        return codec.decode(codec.PutBody, await self._write("/v3/kv/put", request)).public()

    async def delete_range(
        self, key: bytes, range_end: bytes = b"", prev_kv: bool = False
    ) -> t.DeleteRangeResponse:
        request = codec.delete_request(t.DeleteOp(key, range_end, prev_kv))
        return codec.decode(codec.DeleteBody, await self._write("/v3/kv/deleterange", request)).public()

    async def txn(
        self,
        compares: Sequence[t.Compare] = (),
        success: Sequence[t.Operation] = (),
        failure: Sequence[t.Operation] = (),
    ) -> t.TxnResponse:
        """If every compare holds do `success`, else `failure`; all of it in one revision."""
        operation = t.TxnOp(compares, success, failure)
        send = self._read if codec.is_read_only(operation) else self._write
        return codec.decode(codec.TxnBody, await send("/v3/kv/txn", codec.txn_request(operation))).public()

    async def compact(self, revision: int, physical: bool = False) -> int:
        """Forget what was before `revision`; returns the store's revision."""
        request = {"revision": str(revision), "physical": physical}
        body = codec.decode(codec.HeaderOnly, await self._write("/v3/kv/compaction", request))
        return body.header.revision

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        start_revision: int = 0,
        prev_kv: bool = False,
        progress_notify: bool = True,
        filters: Sequence[str] = (),
    ) -> Watch:
        """Every change of the range from `start_revision` (0: from now) on, without loss, duplicate or
        reordering.

        The iterator first yields a response with `created`, and survives the failure of members. It raises
        `Compacted` when the revisions it needs are gone. `filters` are etcd's NOPUT and NODELETE.
        """
        watch = Watch(
            self._transport, key, range_end, start_revision, prev_kv, progress_notify, tuple(filters)
        )
        self._watches.add(watch)
        watch.on_close = self._watches.discard
        return watch

    # -- leases --

    async def lease_grant(self, ttl_s: int, id: int = 0) -> t.LeaseGrantResponse:
        body = await self._write("/v3/lease/grant", {"TTL": str(ttl_s), "ID": str(id)})
        granted = codec.decode(codec.LeaseGrantBody, body)
        if granted.error:
            raise StoreError(granted.error)
        return t.LeaseGrantResponse(granted.ID, granted.TTL)

    async def lease_revoke(self, id: int) -> None:
        """Delete the lease and every key that is bound to it."""
        await self._write("/v3/lease/revoke", {"ID": str(id)})

    async def lease_keep_alive(self, id: int) -> int:
        """Renew once; returns the TTL in seconds. Raises LeaseNotFound."""
        body = await self._read("/v3/lease/keepalive", {"ID": str(id)})
        line = codec.decode(codec.LeaseKeepAliveLine, body.split(b"\n", 1)[0])
        if line.error is not None:
            raise codec.stream_error(line.error)
        if line.result is None or line.result.TTL <= 0:
            raise LeaseNotFound("etcdserver: requested lease not found")
        return line.result.TTL

    def lease_keeper(self, id: int, ttl_s: int) -> LeaseKeeper:
        """A task that renews the lease until it is closed; see `LeaseKeeper`."""
        return LeaseKeeper(self.lease_keep_alive, id, ttl_s)

    async def lease_time_to_live(self, id: int, keys: bool = False) -> t.LeaseTimeToLiveResponse:
        body = await self._read("/v3/lease/timetolive", {"ID": str(id), "keys": keys})
        answer = codec.decode(codec.LeaseTimeToLiveBody, body)
        return t.LeaseTimeToLiveResponse(answer.ID, answer.TTL, answer.grantedTTL, answer.keys)

    async def leases(self) -> list[int]:
        body = codec.decode(codec.LeasesBody, await self._read("/v3/lease/leases", {}))
        return [lease.ID for lease in body.leases]

    # -- cluster and maintenance --

    async def members(self) -> list[t.MemberInfo]:
        body = codec.decode(codec.MembersBody, await self._read("/v3/cluster/member/list", {}))
        return [member.public() for member in body.members]

    async def member_add(self, peer_urls: Sequence[str], is_learner: bool = False) -> t.MemberInfo:
        request = {"peerURLs": list(peer_urls), "isLearner": is_learner}
        body = codec.decode(codec.MemberAddBody, await self._write("/v3/cluster/member/add", request))
        return body.member.public()

    async def member_promote(self, id: int) -> None:
        """Make a learner that has caught up a voter."""
        await self._write("/v3/cluster/member/promote", {"ID": str(id)})

    async def member_remove(self, id: int) -> None:
        await self._write("/v3/cluster/member/remove", {"ID": str(id)})

    async def move_leader(self, member_id: int) -> None:
        """Asks every endpoint, since only the leader can hand over."""
        failure: StoreError | None = None
        for endpoint in self._transport.endpoints.all:
            try:
                await self._ask(endpoint, "/v3/maintenance/transfer-leadership", {"targetID": str(member_id)})
            except StoreError as error:
                failure = error
            else:
                return
        assert failure is not None
        raise failure

    @property
    def endpoints(self) -> list[str]:
        return [endpoint.url for endpoint in self._transport.endpoints.all]

    def set_endpoints(self, urls: Sequence[str]) -> None:
        """Members have come or gone: ask these from now on. Watches go on where they are while they can."""
        self._transport.endpoints.replace(urls)

    async def sync(self) -> list[str]:
        """Take the client URLs of the cluster's started members for endpoints, as etcd's clients do."""
        urls = [url for member in await self.members() for url in member.client_urls]
        if urls:
            self.set_endpoints(urls)
        return self.endpoints

    async def status(self, endpoint: str = "", timeout_s: float = 2.0) -> t.StatusResponse:
        """The status of the named member, or of whichever answers."""
        failure: StoreError | None = None
        for candidate in self._transport.endpoints.all:
            if endpoint and candidate.url != endpoint:
                continue
            try:
                body = await self._ask(candidate, "/v3/maintenance/status", {}, timeout_s)
            except StoreError as error:
                failure = error
            else:
                return _status(candidate.url, codec.decode(codec.StatusBody, body))
        raise failure or ValueError(f"{endpoint} is no endpoint of this client")

    async def hash_kv(self, endpoint: str, revision: int = 0) -> tuple[int, int]:
        """(hash, compact revision) of one member's data at `revision`; equal on all members."""
        for candidate in self._transport.endpoints.all:
            if candidate.url == endpoint:
                request = {"revision": str(revision)} if revision else {}
                answer = codec.decode(
                    codec.HashBody, await self._ask(candidate, "/v3/maintenance/hash", request)
                )
                return answer.hash, answer.compact_revision
        raise ValueError(f"{endpoint} is no endpoint of this client")

    # -- helpers --

    async def _read(self, path: str, request: dict[str, Any]) -> bytes:
        return await self._transport.call(path, codec.encode(request), idempotent=True)

    async def _write(self, path: str, request: dict[str, Any]) -> bytes:
        return await self._transport.call(path, codec.encode(request), idempotent=False)

    async def _ask(
        self, endpoint: Endpoint, path: str, request: dict[str, Any], timeout_s: float = REQUEST_TIMEOUT_S
    ) -> bytes:
        response = await self._transport.ask(endpoint, "POST", path, codec.encode(request), timeout_s)
        if response.status != 200:
            raise codec.error_of(response.status, response.body)
        return response.body


def _status(url: str, body: codec.StatusBody) -> t.StatusResponse:
    return t.StatusResponse(
        endpoint=url,
        cluster_id=body.header.cluster_id,
        member_id=body.header.member_id,
        revision=body.header.revision,
        version=body.version,
        db_size_bytes=body.dbSize,
        db_size_in_use_bytes=body.dbSizeInUse,
        leader=body.leader,
        raft_index=body.raftIndex,
        raft_applied_index=body.raftAppliedIndex or body.raftIndex,
        raft_term=body.raftTerm,
        is_learner=body.isLearner,
        errors=body.errors,
    )
