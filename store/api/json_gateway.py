"""etcd's JSON gateway: which path takes which request, which method of the service answers, how it is
encoded.

    POST /v3/…    one row of `UNARY`: (request type, handler, encoder) POST /v3/watch,
    /v3/maintenance/snapshot, /v3/lease/keepalive with more than one line: streams (`json_streams`) GET
    /version /health /livez /readyz /metrics

An error is etcd's body {"error", "code", "message"} with the HTTP status that grpc-gateway gives the code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import orjson

from store.api import json_auth
from store.api import json_encode as encode
from store.api.auth import TokenKeeper
from store.api.calls import Calls
from store.api.errors import TooManyRequests
from store.api.http1 import Response, Stream
from store.api.http1_parser import Request as HttpRequest
from store.api.json_names import decode
from store.api.methods import METHODS, YIELD_RECORDS, Encoder, Row, full_name
from store.api.probes import Probes
from store.api.service import StoreService
from store.component import logs
from store.mvcc import messages as kv
from store.mvcc.errors import Code, RequestError

MAX_IN_FLIGHT = 4096  # requests being served; more are refused, so that overload does not end in timeouts

log = logs.get("gateway")

HTTP_STATUS: Mapping[int, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

ROUTES: dict[str, tuple[str, Encoder]] = {
    "KV/Range": ("kv/range", encode.encode_range),
    "KV/Put": ("kv/put", encode.encode_kv),
    "KV/DeleteRange": ("kv/deleterange", encode.encode_kv),
    "KV/Txn": ("kv/txn", encode.encode_kv),
    "KV/Compact": ("kv/compaction", encode.encode_kv),
    "Lease/LeaseGrant": ("lease/grant", encode.encode_lease_grant),
    "Lease/LeaseRevoke": ("lease/revoke", encode.encode_empty),
    "Lease/LeaseTimeToLive": ("lease/timetolive", encode.encode_time_to_live),
    "Lease/LeaseLeases": ("lease/leases", encode.encode_leases),
    "Cluster/MemberList": ("cluster/member/list", encode.encode_members),
    "Cluster/MemberAdd": ("cluster/member/add", encode.encode_members),
    "Cluster/MemberPromote": ("cluster/member/promote", encode.encode_members),
    "Cluster/MemberUpdate": ("cluster/member/update", encode.encode_members),
    "Cluster/MemberRemove": ("cluster/member/remove", encode.encode_members),
    "Maintenance/Status": ("maintenance/status", encode.encode_status),
    "Maintenance/Alarm": ("maintenance/alarm", encode.encode_alarms),
    "Maintenance/Defragment": ("maintenance/defragment", encode.encode_empty),
    "Maintenance/HashKV": ("maintenance/hash", encode.encode_hash),
    "Maintenance/MoveLeader": ("maintenance/transfer-leadership", encode.encode_empty),
    "Maintenance/Downgrade": ("maintenance/downgrade", encode.encode_downgrade),
    **json_auth.ROUTES,
}
UNARY: dict[bytes, Row] = {
    f"/v3/{path}".encode(): (*METHODS[name], encoder) for name, (path, encoder) in ROUTES.items()
}
NAMES: dict[bytes, str] = {
    **{f"/v3/{path}".encode(): full_name(name) for name, (path, _) in ROUTES.items()},
    b"/v3/watch": full_name("Watch/Watch"),
    b"/v3/lease/keepalive": full_name("Lease/LeaseKeepAlive"),
    b"/v3/kv/lease/keepalive": full_name("Lease/LeaseKeepAlive"),
    b"/v3/maintenance/snapshot": full_name("Maintenance/Snapshot"),
}
"""gRPC's, under which calls are counted."""
for _alias, _path in (
    (b"/v3/kv/lease/revoke", b"/v3/lease/revoke"),
    (b"/v3/kv/lease/timetolive", b"/v3/lease/timetolive"),
    (b"/v3/kv/lease/leases", b"/v3/lease/leases"),
    (b"/v3/maintenance/hashkv", b"/v3/maintenance/hash"),
):
    UNARY[_alias], NAMES[_alias] = UNARY[_path], NAMES[_path]

StreamHandler = Callable[[HttpRequest, Stream], Awaitable[None]]


class JsonGateway:
    """The `Application` of the HTTP server. `streams` maps a path to what serves it."""

    def __init__(
        self,
        service: StoreService,
        tokens: TokenKeeper,
        probes: Probes,
        stream_handlers: Mapping[bytes, StreamHandler],
        calls: Calls,
    ) -> None:
        self._service = service
        self._tokens = tokens
        self._probes = probes
        self._stream_handlers = stream_handlers
        self.streams = frozenset(stream_handlers)
        self._calls = calls
        self._in_flight = 0

    async def handle(self, request: HttpRequest) -> Response:
        try:
            row = UNARY.get(request.path)
            if row is None:
                return await self._probe(request)
            if request.method != b"POST":
                return self.error(405, "Method Not Allowed")
            return await self._calls.count(NAMES[request.path], partial(self._unary, request, row))
        except RequestError as error:
            return error_response(error)
        except Exception:
            log.exception("a request failed", path=request.path.decode("latin-1"))
            return self.error(500, "internal error")

    async def handle_stream(self, request: HttpRequest, stream: Stream) -> None:
        if request.method != b"POST":
            await stream.refuse(self.error(405, "Method Not Allowed"))
            return
        try:
            handler = self._stream_handlers[request.path]
            await self._calls.count(NAMES[request.path], partial(handler, request, stream))
        except RequestError as error:
            await stream.refuse(error_response(error))
        except (ConnectionResetError, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("a stream failed", path=request.path.decode("latin-1"))

    async def _unary(self, request: HttpRequest, row: Row) -> Response:
        if self._in_flight >= MAX_IN_FLIGHT:
            raise TooManyRequests
        kind, handler, encoder = row
        self._in_flight += 1
        try:
            message = decode(kind, request.body)
            if request.headers.get(b"grpc-metadata-hasleader") == b"true":
                self._service.require_leader()
            service = json_auth.caller(self._service, self._tokens, request.headers)
            response = await handler(service, message)
            header = encode.encode_header(self._service.header(getattr(response, "revision", None)))
            if isinstance(response, kv.RangeResponse) and len(response.kvs) > YIELD_RECORDS:
                return Response(200, await _encode_long_range(header, response))
            return Response(200, encoder(header, response))
        finally:
            self._in_flight -= 1

    async def _probe(self, request: HttpRequest) -> Response:
        probe = self._probes.find(request.path)
        if probe is None:
            return self.error(404, "Not Found")
        if request.method not in (b"GET", b"HEAD"):
            return self.error(405, "Method Not Allowed")
        return await probe()

    def error(self, status: int, message: str) -> Response:
        code = _CODES.get(status, Code.UNKNOWN)
        return Response(status, _error_body(code, message))


_CODES = {
    400: Code.INVALID_ARGUMENT,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    413: Code.INVALID_ARGUMENT,
    431: Code.INVALID_ARGUMENT,
    500: Code.INTERNAL,
    503: Code.UNAVAILABLE,
}


def error_response(error: RequestError) -> Response:
    return Response(HTTP_STATUS[error.code], _error_body(error.code, str(error)))


def error_line(error: RequestError) -> bytes:
    """The last line of a stream that failed; with the names of both generations of gateways."""
    body = {
        "grpc_code": int(error.code),
        "http_code": HTTP_STATUS[error.code],
        "code": int(error.code),
        "message": str(error),
    }
    return orjson.dumps({"error": body}) + b"\n"


def _error_body(code: Code, message: str) -> bytes:
    return orjson.dumps({"error": message, "code": int(code), "message": message})


async def _encode_long_range(header: bytes, response: kv.RangeResponse) -> bytes:
    pieces: list[bytes] = []
    for start in range(0, len(response.kvs), YIELD_RECORDS):
        pieces.append(b",".join(map(encode.encode_record, response.kvs[start : start + YIELD_RECORDS])))
        await asyncio.sleep(0)
    return encode.range_json(header, b",".join(pieces), response)
