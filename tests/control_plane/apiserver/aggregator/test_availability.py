"""What a Service says of an APIService, and what its condition becomes."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.apiserver.aggregator.availability import PASSED, by_service, failed_check, with_condition
from control_plane.apiserver.aggregator.remote import parse

Object = dict[str, Any]


def api_service(**status: Any) -> Object:
    service = {"namespace": "ns", "name": "api"}
    return {
        "metadata": {"name": "v1.g"},
        "spec": {"group": "g", "version": "v1", "service": service},
        "status": status,
    }


def service(port: int = 443, **more: Any) -> Object:
    return {"spec": {"ports": [{"name": "https", "port": port}], **more}}


def slice_of(ready: bool = True, name: str = "https") -> Object:
    return {
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
        "ports": [{"name": name, "port": 8443}],
    }


@pytest.mark.parametrize(
    ("found", "slices", "reason"),
    [
        (None, [], "ServiceNotFound"),
        (service(80), [slice_of()], "ServicePortError"),
        (service(), [], "EndpointsNotFound"),
        (service(), [slice_of(ready=False)], "MissingEndpoints"),
        (service(), [slice_of(name="other")], "MissingEndpoints"),
        (service(), [slice_of(ready=False), slice_of()], None),
        (service(80, type="ExternalName"), [], None),
    ],
    ids=["no service", "no port", "no slices", "not ready", "another port", "good", "external"],
)
def test_by_service(found: Object | None, slices: list[Object], reason: str | None) -> None:
    remote = parse(api_service())
    assert remote is not None
    verdict = by_service(remote, found, slices)
    assert (verdict.reason if verdict else None) == reason


def test_conditions_change_once() -> None:
    first = with_condition(api_service(), PASSED, "t1")
    assert first is not None
    condition = first["status"]["conditions"][0]
    assert (condition["status"], condition["lastTransitionTime"]) == ("True", "t1")
    assert with_condition(first, PASSED, "t2") is None
    failed = with_condition(first, failed_check("why"), "t3")
    assert failed is not None
    again = with_condition(failed, failed_check("another why"), "t4")
    assert again is not None
    assert again["status"]["conditions"][0]["lastTransitionTime"] == "t3", "the status is what it was"


def test_local() -> None:
    assert parse({"metadata": {"name": "v1.g"}, "spec": {"group": "g", "version": "v1"}}) is None
