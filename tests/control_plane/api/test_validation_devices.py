"""Device classes, claims and slices: what is refused, and in which words; what the server adds and takes away."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api.strategy import devices, strategy_for
from control_plane.api.validation import validate_create, validate_update
from tests.control_plane.api.samples import stored

Object = dict[str, Any]


def exactly(**more: Any) -> Object:
    return {"name": "r", "exactly": {"deviceClassName": "gpu", **more}}


def claim(*requests: Object, **devices: Any) -> Object:
    spec = {"devices": {"requests": list(requests or (exactly(),)), **devices}}
    return {"metadata": {"name": "c", "namespace": "default"}, "spec": spec}


def slice_(*devices: Object, **spec: Any) -> Object:
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    where = {} if {"allNodes", "nodeSelector", "perDeviceNodeSelection"} & set(spec) else {"nodeName": "n1"}
    full = {"driver": "gpu.io", "pool": pool, "devices": list(devices), **where, **spec}
    return {"metadata": {"name": "s"}, "spec": full}


def device_class(expression: str) -> Object:
    return {"metadata": {"name": "gpu"}, "spec": {"selectors": [{"cel": {"expression": expression}}]}}


def rule(taint: Object | None = None, **selector: str) -> Object:
    spec = {"deviceSelector": selector, "taint": {"key": "k", "effect": "NoExecute", **(taint or {})}}
    return {"metadata": {"name": "r"}, "spec": spec}


def judge(resource: str, obj: Object) -> list[str]:
    found, made = stored(f"{resource}.resource.k8s.io", deepcopy(obj))
    return [str(each) for each in validate_create(found, made)]


SUB = {"name": "a", "deviceClassName": "gpu"}
GOOD = [
    ("deviceclasses", device_class('device.driver == "gpu.io"')),
    ("resourceclaims", claim()),
    ("resourceclaims", claim(exactly(allocationMode="All"))),
    ("resourceclaims", claim({"name": "r", "firstAvailable": [SUB, {**SUB, "name": "b", "count": 2}]})),
    ("resourceclaims", claim(constraints=[{"requests": ["r"], "matchAttribute": "gpu.io/numa"}])),
    ("resourceclaims", claim(exactly(tolerations=[{"operator": "Exists"}]))),
    ("resourceclaimtemplates", {"metadata": {"name": "t", "namespace": "default"}, "spec": {"spec": claim()["spec"]}}),
    ("resourceslices", slice_({"name": "d", "attributes": {"model": {"string": "x"}}})),
    ("devicetaintrules", rule()),
    ("devicetaintrules", rule({"value": "v", "effect": "None"}, driver="gpu.io", pool="a/b", device="d")),
    ("resourceslices", slice_({"name": "d", "allNodes": True}, perDeviceNodeSelection=True)),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "obj"), GOOD)
def test_what_is_right_is_taken(resource: str, obj: Object) -> None:
    assert judge(resource, obj) == []


ONE_OF = "exactly one of `exactly`, `firstAvailable` is required"
WHERE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
AT = "spec.devices.requests[0]"


@pytest.mark.parametrize(
    ("resource", "obj", "expected"),
    [
        pytest.param("deviceclasses", device_class("device.nope"), "undefined field 'nope'", id="unknown field"),
        pytest.param("deviceclasses", device_class("1 + 1"), "must evaluate to bool", id="no answer"),
        pytest.param("deviceclasses", device_class(""), "expression: Required value", id="no expression"),
        pytest.param("resourceclaims", claim({"name": "r"}), f"{AT}: Required value: {ONE_OF}", id="nothing asked"),
        pytest.param(
            "resourceclaims", claim({**exactly(), "firstAvailable": [SUB]}), "but multiple fields are set",
            id="asked twice",
        ),
        pytest.param(
            "resourceclaims", claim(exactly(), exactly()),
            'spec.devices.requests[1].name: Duplicate value: "r"', id="one name twice",
        ),
        pytest.param(
            "resourceclaims", claim(exactly(deviceClassName="")),
            f"{AT}.exactly.deviceClassName: Required value", id="no class",
        ),
        pytest.param(
            "resourceclaims", claim(exactly(allocationMode="All", count=2)),
            f"{AT}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
            id="a number of all",
        ),
        pytest.param(
            "resourceclaims", claim(exactly(count=-1)),
            f"{AT}.exactly.count: Invalid value: -1: must be greater than zero", id="less than one",
        ),
        pytest.param(
            "resourceclaims", claim(exactly(allocationMode="Some")),
            f'{AT}.exactly.allocationMode: Unsupported value: "Some"', id="unknown mode",
        ),
        pytest.param(
            "resourceclaims", claim(constraints=[{"requests": ["x"], "matchAttribute": "gpu.io/numa"}]),
            'spec.devices.constraints[0].requests[0]: Invalid value: "x": must be the name of a request in the claim',
            id="unknown request",
        ),
        pytest.param("resourceslices", slice_(nodeName=""), f"spec: Required value: {WHERE}", id="nowhere"),
        pytest.param("resourceslices", slice_(allNodes=True, nodeName="n"), "multiple fields", id="in two ways"),
        pytest.param(
            "resourceslices", slice_({"name": "d"}, {"name": "d"}), 'spec.devices[1].name: Duplicate value: "d"',
            id="a device twice",
        ),
        pytest.param(
            "resourceslices", slice_({"name": "d", "attributes": {"a": {"int": 1, "string": "x"}}}),
            "spec.devices[0].attributes[a]: Invalid value", id="two values",
        ),
        pytest.param(
            "resourceslices", slice_({"name": "d", "nodeName": "n"}), "perDeviceNodeSelection` is set to true",
            id="nodes of a device",
        ),
        pytest.param(
            "resourceslices", slice_({"name": "d", "taints": [{"key": "", "effect": "NoExecute"}]}),
            "spec.devices[0].taints[0].key: Invalid value", id="a taint without a key",
        ),
        pytest.param(
            "devicetaintrules", rule({"effect": "Never"}),
            'spec.taint.effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", "None"',
            id="unknown effect",
        ),
        pytest.param(
            "devicetaintrules", rule({"effect": ""}), "spec.taint.effect: Required value", id="a taint without effect",
        ),
        pytest.param(
            "devicetaintrules", rule({"value": "a b"}), 'spec.taint.value: Invalid value: "a b"', id="a taint's value",
        ),
        pytest.param(
            "devicetaintrules", rule(driver="Gpu"), 'spec.deviceSelector.driver: Invalid value: "Gpu"', id="a driver",
        ),
        pytest.param(
            "devicetaintrules", rule(pool="a//b"), "spec.deviceSelector.pool: Required value", id="a pool",
        ),
        pytest.param(
            "devicetaintrules", rule(device="a.b"), 'spec.deviceSelector.device: Invalid value: "a.b"', id="a device",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(resource: str, obj: Object, expected: str) -> None:
    assert expected in "\n".join(judge(resource, obj))


def test_what_was_asked_stays() -> None:
    found, old = stored("resourceclaims.resource.k8s.io", claim())
    _, new = stored("resourceclaims.resource.k8s.io", claim(exactly(deviceClassName="other")))
    assert any("field is immutable" in str(each) for each in validate_update(found, new, old))


def taint_times(slice_: Object) -> list[str]:
    return [
        taint["timeAdded"] for device in slice_["spec"]["devices"] for taint in device.get("taints") or ()
    ]


def test_a_taint_keeps_the_time_when_it_came() -> None:
    plain = {"key": "k", "effect": "NoExecute"}
    old = slice_({"name": "d", "taints": [{**plain, "timeAdded": "2024-01-01T00:00:00Z"}]}, {"name": "e"})
    new = slice_({"name": "d", "taints": [plain]}, {"name": "e", "taints": [plain]})
    devices.update_slice(new, old)
    kept, added = taint_times(new)
    assert kept == "2024-01-01T00:00:00Z"
    assert added > kept
    said = slice_({"name": "d", "taints": [{**plain, "timeAdded": "2020-01-01T00:00:00Z"}]})
    devices.create_slice(said)
    assert taint_times(said) == ["2020-01-01T00:00:00Z"]


@pytest.mark.parametrize(
    ("new", "bumped"),
    [
        ({"effect": "NoExecute"}, False),
        ({"effect": "NoExecute", "value": "other"}, False),
        ({"effect": "NoSchedule"}, True),
        ({"effect": "NoSchedule", "timeAdded": "2024-01-01T00:00:00Z"}, True),
    ],
    ids=["the same", "another value", "another effect", "another effect, the time as it was read"],
)
def test_a_rule_counts_from_when_its_effect_came(new: Object, bumped: bool) -> None:
    resource, old = stored("devicetaintrules.resource.k8s.io", rule({"timeAdded": "2024-01-01T00:00:00Z"}))
    after = deepcopy(old)
    after["spec"]["taint"] = {"key": "k", **new}
    strategy_for(resource).prepare_for_update(after, old)
    since = after["spec"]["taint"]["timeAdded"]
    assert (since > "2024-01-01T00:00:00Z") == bumped
    assert after["metadata"]["generation"] == (1 if new == {"effect": "NoExecute"} else 2)


def test_a_rule_gets_a_time_unless_it_has_one() -> None:
    _, said = stored("devicetaintrules.resource.k8s.io", rule({"timeAdded": "2020-01-01T00:00:00Z"}))
    assert said["spec"]["taint"]["timeAdded"] == "2020-01-01T00:00:00Z"
    _, made = stored("devicetaintrules.resource.k8s.io", rule())
    assert made["spec"]["taint"]["timeAdded"] > "2026"
    assert made["metadata"]["generation"] == 1


def test_the_state_of_devices_goes_with_them() -> None:
    where = {"driver": "gpu.io", "pool": "p", "device": "d"}
    other = {**where, "device": "e"}
    held = {"allocation": {"devices": {"results": [{**where, "request": "r"}]}}, "devices": [where, other]}
    new = {**claim(), "status": held}
    devices.update_claim_status(new, claim())
    assert new["status"]["devices"] == [where]
    freed = {**claim(), "status": {"devices": [where]}}
    devices.update_claim_status(freed, new)
    assert freed["status"] == {}
