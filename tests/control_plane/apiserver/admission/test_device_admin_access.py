"""Devices in use by others are for labelled namespaces."""

from __future__ import annotations

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.admission.plugins.device_admin_access import LABEL, REQUIRED, DeviceAdminAccess
from tests.control_plane.apiserver.admission.helpers import CREATE, DELETE, UPDATE, dependencies, request
from tests.control_plane.apiserver.authn.fakes import FakeReader, Object

ADMIN = {"name": "r", "exactly": {"deviceClassName": "gpu", "adminAccess": True}}
PLAIN = {"name": "r", "exactly": {"deviceClassName": "gpu", "adminAccess": False}}
FIRST = {"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "gpu"}]}
GRANTED = {"request": "r", "adminAccess": True}


def claim(*requests: Object, results: list[Object] | None = None) -> Object:
    spec = {"devices": {"requests": list(requests)}}
    status = {} if results is None else {"allocation": {"devices": {"results": results}}}
    return {"metadata": {"name": "c", "namespace": "ns"}, "spec": spec, "status": status}


def template(*requests: Object) -> Object:
    return {"metadata": {"name": "t", "namespace": "ns"}, "spec": {"spec": claim(*requests)["spec"]}}


CLAIMS, TEMPLATES = "resourceclaims.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io"
STATUS = "resourceclaims/status.resource.k8s.io"


async def judge(
    label: str | None, resource: str, new: Object | None, operation: Operation, old: Object | None = None
) -> str:
    labels = {} if label is None else {LABEL: label}
    reader = FakeReader(namespaces=[{"metadata": {"name": "ns", "labels": labels}}])
    asked = request(resource.replace("/status", ""), new, operation, old=old)
    asked.subresource, asked.kind = ("status" if "/status" in resource else ""), "ResourceClaim"
    try:
        await DeviceAdminAccess(dependencies(reader)).validate(asked)
    except StatusError as error:
        return error.message.partition(" is invalid: ")[2]
    return ""


SPEC = f"spec.devices.requests[{{}}].adminAccess: Forbidden: {REQUIRED}"
RESULT = f"status.allocation.devices.results[1].adminAccess: Forbidden: {REQUIRED}"


@pytest.mark.parametrize(
    ("resource", "operation", "new", "old", "refusal"),
    [
        pytest.param(CLAIMS, CREATE, claim(ADMIN), None, SPEC.format(0), id="a claim"),
        pytest.param(CLAIMS, CREATE, claim(FIRST, PLAIN, ADMIN), None, SPEC.format(2), id="its third request"),
        pytest.param(CLAIMS, CREATE, claim(FIRST, PLAIN), None, "", id="nothing special asked"),
        pytest.param(CLAIMS, UPDATE, claim(ADMIN), claim(ADMIN), "", id="a spec that was there before"),
        pytest.param(CLAIMS, DELETE, None, claim(ADMIN), "", id="a deletion"),
        pytest.param(TEMPLATES, CREATE, template(ADMIN), None, SPEC.format(0), id="a template"),
        pytest.param(TEMPLATES, CREATE, template(PLAIN), None, "", id="a plain template"),
        pytest.param(
            STATUS, UPDATE, claim(ADMIN, results=[{"request": "r"}, GRANTED]), claim(ADMIN), RESULT, id="a grant"
        ),
        pytest.param(
            STATUS, UPDATE, claim(results=[GRANTED]), claim(results=[GRANTED]), "", id="granted before"
        ),
        pytest.param(STATUS, UPDATE, claim(PLAIN, results=[{"request": "r"}]), claim(PLAIN), "", id="plain"),
        pytest.param("pods", CREATE, claim(ADMIN), None, "", id="another kind"),
    ],
)  # fmt: skip
async def test_who_may_have_it(
    resource: str, operation: Operation, new: Object | None, old: Object | None, refusal: str
) -> None:
    for label in (None, "false"):
        assert await judge(label, resource, new, operation, old) == refusal
    assert await judge("true", resource, new, operation, old) == ""
