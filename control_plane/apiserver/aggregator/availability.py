"""Whether an APIService can be served: first what the API says of its Service, then what the server itself answers.

The condition has kube-aggregator's reasons and words, which people search for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.apiserver.aggregator.remote import Remote
from control_plane.apiserver.egress import ready_endpoints

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    status: str
    reason: str
    message: str


PASSED = Verdict("True", "Passed", "all checks passed")


def failed_check(why: str) -> Verdict:
    return Verdict("False", "FailedDiscoveryCheck", why)


def by_service(remote: Remote, service: Object | None, slices: Sequence[Object]) -> Verdict | None:
    """Why the Service cannot lead to a server; None when it may."""
    where = f'service/{remote.service} in "{remote.namespace}"'
    if service is None:
        return Verdict("False", "ServiceNotFound", f"{where} is not present")
    spec = service.get("spec") or {}
    if spec.get("type", "ClusterIP") != "ClusterIP":
        return None
    port = next((each for each in spec.get("ports") or () if each.get("port") == remote.port), None)
    if port is None:
        return Verdict("False", "ServicePortError", f"{where} is not listening on port {remote.port}")
    if not slices:
        return Verdict("False", "EndpointsNotFound", f"cannot find endpointslices for {where}")
    name = str(port.get("name") or "")
    if not ready_endpoints(slices, name):
        why = f'endpointslices for {where} have no addresses with port name "{name}"'
        return Verdict("False", "MissingEndpoints", why)
    return None


def with_condition(api_service: Object, verdict: Verdict, now: str) -> Object | None:
    """The APIService with its condition; None when that is what it says already."""
    status = api_service.get("status") or {}
    conditions = list(status.get("conditions") or ())
    index = next((i for i, each in enumerate(conditions) if each.get("type") == "Available"), None)
    before = conditions[index] if index is not None else {}
    new = {
        "type": "Available",
        "status": verdict.status,
        "lastTransitionTime": now,
        "reason": verdict.reason,
        "message": verdict.message,
    }
    if before.get("status") == verdict.status:
        new["lastTransitionTime"] = before.get("lastTransitionTime") or now
    if new == before:
        return None
    if index is None:
        conditions.append(new)
    else:
        conditions[index] = new
    return {**api_service, "status": {**status, "conditions": conditions}}
