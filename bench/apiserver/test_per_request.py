"""What every request pays: finding a seat, being counted, being recorded.

.venv/bin/python -m pytest bench/apiserver/test_per_request.py
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from control_plane.api import flowcontrol
from control_plane.apiserver import metrics
from control_plane.apiserver.audit.auditor import Auditor, Output
from control_plane.apiserver.audit.policy import parse
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes
from control_plane.apiserver.flowcontrol.fairness import Fairness
from control_plane.apiserver.limits import InFlight
from control_plane.apiserver.messages import Connection, Request, Response
from control_plane.apiserver.routes import request_info
from control_plane.apiserver.storage import codec
from control_plane.apiserver.watch_cache.cache import ResourceCache
from control_plane.apiserver.watch_cache.entry import Entry

ROUNDS = 1000
USERS = {
    "exempt": UserInfo("admin", "", ("system:masters", "system:authenticated")),
    "queued": UserInfo("jane", "", ("developers", "system:authenticated")),
}
VERBS = {
    "get": ("GET", "/api/v1/namespaces/x/configmaps/a"),
    "create": ("POST", "/api/v1/namespaces/x/configmaps"),
    "list": ("GET", "/api/v1/namespaces/x/configmaps"),
}


async def nothing(limit: int) -> bytes:
    return b""


def request_of(method: str, path: str) -> Request:
    return Request(method, path, "", {}, Connection("127.0.0.1"), nothing)


def filled(objects: list[dict[str, Any]]) -> ResourceCache:
    cache = ResourceCache()
    for revision, obj in enumerate(objects, 1):
        entry = Entry(codec.encode_with_revision(obj, revision), revision)
        cache.apply(obj["metadata"]["name"], entry, revision)
    return cache


@pytest.fixture(scope="module")
def fairness() -> Fairness:
    schemas = filled([*flowcontrol.mandatory_schemas(), *flowcontrol.suggested_schemas()])
    levels = filled([*flowcontrol.mandatory_levels(), *flowcontrol.suggested_levels()])
    return Fairness(schemas, levels, lambda group, resource: (1000, 1000), 600, time.monotonic, InFlight())


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_seat(benchmark: Callable[..., Any], fairness: Fairness, user: str, verb: str) -> None:
    """ROUNDS requests of one kind after another."""
    method, path = VERBS[verb]
    info, request, who = request_info(method, path, {}), request_of(method, path), USERS[user]

    async def rounds() -> None:
        for _ in range(ROUNDS):
            seat = await fairness.admit(request, info, who)
            assert seat is not None
            seat.release()

    loop = asyncio.new_event_loop()
    benchmark(lambda: loop.run_until_complete(rounds()))
    loop.close()


def test_counted(benchmark: Callable[..., Any]) -> None:
    info, request = request_info(*VERBS["get"], {}), request_of(*VERBS["get"])

    def rounds() -> None:
        for _ in range(ROUNDS):
            metrics.observe(request, info, True, 200, 1000, 0.002)

    benchmark(rounds)


class Nowhere:
    def take(self, event: bytes) -> bool:
        return True


@pytest.mark.parametrize("level", ["None", "Metadata", "RequestResponse"])
def test_recorded(benchmark: Callable[..., Any], level: str) -> None:
    head = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}
    rules = parse({**head, "rules": [{"level": level, "omitStages": ["RequestReceived"]}]})
    auditor = Auditor(rules, [Output("nowhere", Nowhere())], time.time)
    info, who = request_info(*VERBS["get"], {}), USERS["queued"]
    asked = Attributes(who, "get", "", "v1", "configmaps", "", "x", "a")
    response = Response(200, orjson.dumps({"kind": "ConfigMap", "data": {"a": "x" * 1000}}))

    def rounds() -> None:
        for _ in range(ROUNDS):
            request = request_of(*VERBS["get"])
            event = auditor.open(request, info, asked)
            if event is not None:
                auditor.answered(event, request, response, False)
            for end in request.on_end:
                end()

    benchmark(rounds)
