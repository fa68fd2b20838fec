"""Requests and dependencies for the admission tests."""

from __future__ import annotations

import copy
import random
from typing import Any

from control_plane.api import errors
from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.admission.plugin import Dependencies
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes, Decision
from tests.control_plane.apiserver.authn.fakes import FakeReader, Object

ANN = UserInfo("ann")
CREATE, UPDATE, DELETE = Operation.CREATE, Operation.UPDATE, Operation.DELETE


def request(
    resource: str,
    obj: Object | None = None,
    operation: Operation = CREATE,
    *,
    old: Object | None = None,
    user: UserInfo = ANN,
    namespace: str = "ns",
    name: str = "",
    dry_run: bool = False,
) -> AdmissionRequest:
    """`resource` is `pods`, `pods/status`, `ingresses.networking.k8s.io` …"""
    path, _, subresource = resource.partition("/")
    plural, _, group = path.partition(".")
    if not name and operation is not CREATE:
        name = (obj or old or {}).get("metadata", {}).get("name", "")
    return AdmissionRequest(
        operation, group, "v1", plural, "", subresource, namespace, name, obj, old, user, dry_run
    )


class FakeWriter:
    """Compare-and-swap on the resourceVersion of what the reader has; can lose on purpose."""

    def __init__(self, reader: FakeReader) -> None:
        self._reader = reader
        self.writes = 0
        self.lose = 0

    async def update_status(self, group: str, resource: str, obj: Object) -> Object:
        stored = self._reader.get(
            group, resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        )
        assert stored is not None
        version = stored["metadata"]["resourceVersion"]
        if self.lose:
            self.lose -= 1
            raise errors.conflict(group, resource, obj["metadata"]["name"])
        if version != obj["metadata"]["resourceVersion"]:
            raise errors.conflict(group, resource, obj["metadata"]["name"])
        self.writes += 1
        stored["status"] = copy.deepcopy(obj["status"])
        stored["metadata"] = {**stored["metadata"], "resourceVersion": str(int(version) + 1)}
        return copy.deepcopy(stored)


class FakeAuthorizer:
    """Allows what is written as `verb resource name`."""

    def __init__(self, *allowed: str) -> None:
        self._allowed = allowed

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        asked = f"{a.verb} {resource} {a.name}".strip()
        return (Decision.ALLOW if asked in self._allowed else Decision.NO_OPINION), ""


def dependencies(reader: FakeReader | None = None, **more: Any) -> Dependencies:
    reader = reader or FakeReader()

    async def no_sleep(seconds: float) -> None:
        return None

    defaults: dict[str, Any] = {
        "writer": FakeWriter(reader),
        "authorizer": FakeAuthorizer(),
        "random": random.Random(1),
        "sleep": no_sleep,
    }
    return Dependencies(reader, **{**defaults, **more})
