"""The same requests to Balsa's store and to a real etcd; the answers must be the same, byte for byte of
meaning.

What etcd answers is recorded beside this file, so that the comparison needs no etcd; where one is installed
the recording is checked against it.

Each case is a script of (path, body) on emptied stores. Compared are HTTP status and JSON, without what
names the cluster (ids, term) and without what differs between etcd's own versions.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from store.client.endpoints import Endpoint
from store.component.http_connection import Connection

from ..conftest import TlsFiles, balsa_cluster, needs_etcd, real_etcd

Call = tuple[str, Any]


@dataclass(frozen=True)
class R:
    """A revision as it would be in a fresh store, where the first change makes 2."""

    number: int


def resolve(value: Any, base: int) -> Any:
    match value:
        case R():
            return base + value.number - 1
        case dict():
            return {name: resolve(each, base) for name, each in value.items()}
        case list():
            return [resolve(each, base) for each in value]
        case _:
            return value


def b(text: str) -> str:
    return b64encode(text.encode()).decode()


def put(key: str, value: str, **options: Any) -> Call:
    return "/v3/kv/put", {"key": b(key), "value": b(value), **options}


def get(key: str, end: str = "", **options: Any) -> Call:
    return "/v3/kv/range", {"key": b(key), "range_end": b(end), **options}


def delete(key: str, end: str = "", **options: Any) -> Call:
    return "/v3/kv/deleterange", {"key": b(key), "range_end": b(end), **options}


def txn(compare: list[Any], success: list[Any], failure: list[Any] | None = None) -> Call:
    return "/v3/kv/txn", {"compare": compare, "success": success, "failure": failure or []}


def do_put(key: str, value: str = "v", **options: Any) -> Any:
    return {"request_put": {"key": b(key), "value": b(value), **options}}


def do_get(key: str, end: str = "", **options: Any) -> Any:
    return {"request_range": {"key": b(key), "range_end": b(end), **options}}


def do_delete(key: str, end: str = "", **options: Any) -> Any:
    return {"request_delete_range": {"key": b(key), "range_end": b(end), **options}}


def do_txn(compare: list[Any], success: list[Any], failure: list[Any] | None = None) -> Any:
    return {"request_txn": {"compare": compare, "success": success, "failure": failure or []}}


def when(key: str, target: str, result: str, end: str = "", **operand: Any) -> Any:
    return {"key": b(key), "target": target, "result": result, "range_end": b(end), **operand}


ABC = [put("a", "1"), put("b", "3"), put("c", "2"), put("a", "4")]
ALL = ("a", "z")
LEASE = 7777

SCRIPTS: dict[str, list[Call]] = {
    "put and get": [put("a", "1"), get("a"), put("a", "2"), get("a"), get("missing")],
    "put returns the previous": [put("a", "1", prev_kv=True), put("a", "2", prev_kv=True)],
    "put keeps the value": [
        put("a", "1"),
        ("/v3/kv/put", {"key": b("a"), "ignore_value": True}),
        get("a"),
        put("a", "x", ignore_value=True),
        ("/v3/kv/put", {"key": b("none"), "ignore_value": True}),
    ],
    "put keeps the lease": [
        ("/v3/lease/grant", {"TTL": 1000, "ID": LEASE}),
        put("a", "1", lease=LEASE),
        put("a", "2", ignore_lease=True),
        get("a"),
        put("a", "3", ignore_lease=True, lease=LEASE),
        put("none", "3", ignore_lease=True),
        put("a", "4"),
        get("a"),
    ],
    "empty value": [put("a", ""), get("a")],
    "no key": [put("", "x"), get(""), delete(""), txn([], [do_put("")]), txn([when("", "MOD", "EQUAL")], [])],
    "ranges": [
        *ABC,
        get(*ALL),
        get("b", "\0"),
        get("\0", "\0"),
        get("b", "c"),
        get("c", "b"),
        get("b", "b"),
    ],
    "limits": [
        *ABC,
        get(*ALL, limit=1),
        get(*ALL, limit=2),
        get(*ALL, limit=3),
        get(*ALL, limit=4),
        get(*ALL, limit=-1),
        get("a", limit=1),
        get(*ALL, limit=1, sort_order="DESCEND"),
        get(*ALL, limit=2, sort_order="ASCEND", sort_target="VALUE"),
    ],
    "sorting": [
        *ABC,
        *(
            get(*ALL, sort_order=order, sort_target=target)
            for order in ("NONE", "ASCEND", "DESCEND")
            for target in ("KEY", "CREATE", "MOD", "VALUE")
        ),
    ],
    "projections": [*ABC, get(*ALL, keys_only=True), get(*ALL, count_only=True), get("a", count_only=True)],
    "revision filters": [
        *ABC,
        get(*ALL, min_mod_revision=R(4)),
        get(*ALL, max_mod_revision=R(4)),
        get(*ALL, min_create_revision=R(3), max_create_revision=R(3)),
        get(*ALL, min_mod_revision=R(100)),
        get(*ALL, limit=1, min_mod_revision=R(3)),
    ],
    "past revisions": [
        *ABC,
        delete("b"),
        get(*ALL, revision=R(3)),
        get(*ALL, revision=R(4), limit=1),
        get(*ALL, revision=R(5), count_only=True),
        get(*ALL, revision=R(6)),
        get(*ALL, revision=R(7)),
        get(*ALL, revision=-5),
    ],
    "delete": [
        *ABC,
        delete("a"),
        delete("a"),
        delete("b", "z", prev_kv=True),
        get(*ALL),
        put("a", "again"),
        get("a"),
    ],
    "txn branches": [
        *ABC,
        txn([when("a", "VERSION", "EQUAL", version=2)], [do_put("x"), do_get("x")], [do_get("a")]),
        txn([when("a", "VERSION", "GREATER", version=2)], [do_put("y")], [do_get("a"), do_delete("c")]),
        txn([], []),
        txn([], [], [do_put("never")]),
        txn([when("a", "MOD", "LESS", mod_revision=R(100))], []),
        get(*ALL),
    ],
    "txn compares": [
        *ABC,
        *(
            txn([when(key, target, result, **{field: operand})], [do_get("a")])
            for key in ("a", "none")
            for target, field, operand in (
                ("VERSION", "version", 1),
                ("CREATE", "create_revision", R(2)),
                ("MOD", "mod_revision", R(5)),
                ("VALUE", "value", b("4")),
                ("LEASE", "lease", 0),
            )
            for result in ("EQUAL", "NOT_EQUAL", "GREATER", "LESS")
        ),
    ],
    "txn compares a range": [
        *ABC,
        txn([when("a", "CREATE", "GREATER", "z", create_revision=R(1))], []),
        txn([when("a", "CREATE", "GREATER", "z", create_revision=R(2))], []),
        txn([when("x", "CREATE", "EQUAL", "z", create_revision=0)], []),
    ],
    "txn sees its own writes": [
        put("a", "1"),
        txn([], [do_put("a", "2"), do_get("a"), do_put("b"), do_delete("c"), do_get("a", "z")]),
        txn([], [do_delete("a", "z", prev_kv=True), do_get("a", "z"), do_get("a", revision=R(2))]),
        get(*ALL),
    ],
    "txn is one revision": [txn([], [do_put("a"), do_put("b"), do_put("c")]), get(*ALL)],
    "txn nested": [
        put("a", "1"),
        txn(
            [when("a", "VERSION", "EQUAL", version=1)],
            [
                do_put("b"),
                do_txn([when("b", "VERSION", "EQUAL", version=0)], [do_put("c"), do_get("b")], [do_put("d")]),
            ],
        ),
        get(*ALL),
    ],
    "txn duplicates": [
        txn([], [do_put("a"), do_put("a")]),
        txn([], [do_put("a"), do_delete("a")]),
        txn([], [do_put("b"), do_delete("a", "z")]),
        txn([], [do_delete("a", "z"), do_delete("a", "c")]),
        txn([], [do_put("a")], [do_put("a")]),
        txn([], [do_put("a"), do_txn([], [do_put("a")])]),
        txn([], [do_txn([], [do_put("a")], [do_put("a")])]),
        txn([], [do_delete("a", "z"), do_txn([], [do_put("b")])]),
        txn([], [do_txn([], [do_put("a")]), do_txn([], [do_put("a")])]),
    ],
    "txn fails whole": [
        put("a", "1"),
        txn([], [do_put("b"), do_put("c", lease=999)]),
        txn([], [do_put("b"), do_get("a", revision=R(99))]),
        txn([], [do_put("b"), {"request_put": {"key": b("none"), "ignore_value": True}}]),
        get(*ALL),
    ],
    "txn too large": [
        txn([], [do_put(str(number)) for number in range(128)]),
        txn([], [do_put(str(number)) for number in range(129)]),
        txn([when(str(number), "MOD", "EQUAL") for number in range(129)], []),
        txn([], [do_txn([], [do_put(str(number)) for number in range(128)])]),
        txn([], [{}]),
    ],
    "compaction": [
        *ABC,
        ("/v3/kv/compaction", {"revision": R(4)}),
        get("a", revision=R(3)),
        get("a", revision=R(4)),
        get("a", revision=R(5)),
        get("a"),
        ("/v3/kv/compaction", {"revision": R(4)}),
        ("/v3/kv/compaction", {"revision": R(3), "physical": True}),
        ("/v3/kv/compaction", {"revision": R(99)}),
        ("/v3/kv/compaction", {"revision": R(5), "physical": True}),
        get(*ALL),
        txn([], [do_get("a", revision=R(2)), do_put("q")]),
    ],
    "leases": [
        ("/v3/lease/grant", {"TTL": "1000", "ID": str(LEASE)}),
        ("/v3/lease/grant", {"TTL": 1000, "ID": LEASE}),
        put("a", "1", lease=LEASE),
        put("b", "1", lease=str(LEASE)),
        put("c", "1", lease=1),
        ("/v3/lease/keepalive", {"ID": LEASE}),
        ("/v3/lease/keepalive", {"ID": 12}),
        ("/v3/lease/leases", {}),
        ("/v3/lease/timetolive", {"ID": 12}),
        put("b", "2"),
        ("/v3/lease/revoke", {"ID": LEASE}),
        ("/v3/lease/revoke", {"ID": LEASE}),
        get(*ALL),
        ("/v3/kv/lease/leases", {}),
        ("/v3/lease/grant", {"TTL": 9_000_000_001}),
    ],
    "lease of a moved key": [
        ("/v3/lease/grant", {"TTL": 1000, "ID": 1}),
        ("/v3/lease/grant", {"TTL": 1000, "ID": 2}),
        put("a", "1", lease=1),
        put("a", "2", lease=2),
        ("/v3/lease/revoke", {"ID": 1}),
        get("a"),
        ("/v3/kv/lease/revoke", {"ID": 2}),
        get("a"),
    ],
    "spellings": [
        ("/v3/kv/put", {"key": b("a"), "value": b("1"), "prevKv": True}),
        ("/v3/kv/put", {"key": b("a"), "value": b("2"), "prevKv": True, "lease": "0"}),
        ("/v3/kv/range", {"key": b("a"), "rangeEnd": b("z"), "sortOrder": 2, "keysOnly": True}),
        (
            "/v3/kv/txn",
            {"compare": [{"key": b("a"), "target": 0, "result": 0, "version": "2"}], "success": []},
        ),
        ("/v3/kv/range", {"key": b("a"), "range_end": None}),
    ],
    "unknown path": [("/v3/kv/nothing", {})],
}

SAME_STATUS = {412: 400}  # a failed precondition: the gateway of etcd 3.4, and of every later one
LOCAL = {"cluster_id", "member_id", "raft_term"}


REVISIONS = {"revision", "create_revision", "mod_revision"}


def _comparable(document: Any, base: int) -> Any:
    """Without what is local, and with revisions as they would be in a fresh store."""
    match document:
        case dict():
            return {
                name: str(int(value) - base + 1) if name in REVISIONS else _comparable(value, base)
                for name, value in document.items()
                if name not in LOCAL
            }
        case list():
            return [_comparable(each, base) for each in document]
        case _:
            return document


class Gateway:
    """Raw requests to one store."""

    def __init__(self, url: str, tls: TlsFiles) -> None:
        self._endpoint = Endpoint(url, tls.client_context())
        self._connection: Connection | None = None

    async def call(self, path: str, body: Any) -> tuple[int, Any]:
        if self._connection is None or not self._connection.usable:
            self._connection = await self._endpoint.open()
        response = await self._connection.request("POST", path, orjson.dumps(body))
        try:
            return response.status, orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return response.status, {}

    async def empty(self) -> int:
        """Delete everything; returns the revision."""
        _, leases = await self.call("/v3/lease/leases", {})
        for lease in leases.get("leases", []):
            await self.call("/v3/lease/revoke", lease)
        _, answer = await self.call(*delete("\0", "\0"))
        return int(answer["header"]["revision"])

    async def run(self, script: list[Call]) -> list[Any]:
        base = await self.empty()
        answers = []
        for path, body in script:
            status, document = await self.call(path, resolve(body, base))
            answers.append([SAME_STATUS.get(status, status), _same_words(path, _comparable(document, base))])
        return answers

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _same_words(path: str, document: Any) -> Any:
    """An unknown path is answered in other words by each gateway."""
    return {} if path == "/v3/kv/nothing" else document


RECORDED = Path(__file__).parent / "recorded" / "etcd-3.4.json"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def balsa(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> AsyncIterator[Gateway]:
    async with balsa_cluster(tmp_path_factory.mktemp("balsa"), tls) as cluster:
        gateway = Gateway(cluster.urls[0], tls)
        yield gateway
        gateway.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def etcd(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> AsyncIterator[Gateway]:
    async with real_etcd(tmp_path_factory.mktemp("etcd"), tls) as url:
        gateway = Gateway(url, tls)
        yield gateway
        gateway.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", SCRIPTS)
async def test_balsa_answers_as_recorded(name: str, balsa: Gateway) -> None:
    recorded = orjson.loads(RECORDED.read_bytes())
    _assert_same(SCRIPTS[name], await balsa.run(SCRIPTS[name]), recorded[name])


@needs_etcd
@pytest.mark.asyncio(loop_scope="module")
async def test_the_recording_is_what_etcd_answers(etcd: Gateway) -> None:
    """With BALSA_RECORD=1 it is made anew."""
    answers = {name: await etcd.run(script) for name, script in SCRIPTS.items()}
    if os.environ.get("BALSA_RECORD"):
        RECORDED.write_bytes(orjson.dumps(answers, option=orjson.OPT_INDENT_2) + b"\n")
    recorded = orjson.loads(RECORDED.read_bytes())
    for name, script in SCRIPTS.items():
        _assert_same(script, answers[name], recorded[name])


def _assert_same(script: list[Call], answers: list[Any], expected: list[Any]) -> None:
    for call, answer, wanted in zip(script, answers, expected, strict=True):
        assert answer == wanted, call
