"""Semantic validation of what storage is made of: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api.judging import FIXED, named, refused, refused_update, with_spec

Object = dict[str, Any]
CSI = "storage.k8s.io"


REFUSED: list[Any] = [
    pytest.param(
        f"csidrivers.{CSI}",
        with_spec(volumeLifecycleModes=["Forever"], fsGroupPolicy="x"),
        [
            'spec.volumeLifecycleModes: Unsupported value: "Forever": supported values: "Persistent", "Ephemeral"',
            'spec.fsGroupPolicy: Unsupported value: "x": supported values: "File", "None", "ReadWriteOnceWithFSType"',
        ],
        id="csi driver",
    ),
    pytest.param(
        f"csidrivers.{CSI}",
        with_spec(tokenRequests=[{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]),
        [
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            'spec.tokenRequests[1].audience: Duplicate value: "a"',
        ],
        id="csi driver's tokens",
    ),
    pytest.param(
        f"csinodes.{CSI}",
        with_spec(drivers=[{"name": "d"}, {"name": "d", "nodeID": "x", "allocatable": {"count": -1}}]),
        [
            "spec.drivers[0].nodeID: Required value",
            "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
            'spec.drivers[1].name: Duplicate value: "d"',
        ],
        id="csi node",
    ),
    pytest.param(
        f"csistoragecapacities.{CSI}",
        named(storageClassName="a", capacity="-1"),
        ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
        id="csi capacity",
    ),
    pytest.param(
        f"volumeattachments.{CSI}",
        with_spec(attacher="x", nodeName="n", source={}),
        ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        id="attachment without source",
    ),
    pytest.param(
        f"volumeattributesclasses.{CSI}",
        named(driverName=""),
        [
            "driverName: Required value",
            "parameters: Required value: must contain at least one key/value pair",
        ],
        id="attributes class",
    ),
    pytest.param(
        f"storageclasses.{CSI}",
        named(provisioner="a/b", reclaimPolicy="Recycle"),
        ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
        id="storage class",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "expected"), REFUSED)
def test_refused(name: str, obj: Object, expected: list[str]) -> None:
    assert refused(name, obj) == expected


UPDATES: list[Any] = [
    pytest.param(
        f"csidrivers.{CSI}",
        with_spec(attachRequired=True),
        ("spec", "attachRequired"),
        False,
        [f"spec.attachedRequired: Invalid value: false: {FIXED}"],
        id="csi driver",
    ),
    pytest.param(
        f"csinodes.{CSI}",
        with_spec(drivers=[{"name": "d", "nodeID": "x"}]),
        ("spec", "drivers"),
        [{"name": "d", "nodeID": "x", "allocatable": {"count": 3}}],
        [],
        id="csi node takes more",
    ),
    pytest.param(
        f"volumeattributesclasses.{CSI}",
        named(driverName="d", parameters={"a": "b"}),
        ("parameters",),
        {"a": "c"},
        ["parameters: Forbidden: updates to parameters are forbidden."],
        id="attributes class",
    ),
    pytest.param(
        f"storageclasses.{CSI}",
        named(provisioner="a/b", volumeBindingMode="Immediate"),
        ("volumeBindingMode",),
        "WaitForFirstConsumer",
        [f'volumeBindingMode: Invalid value: "WaitForFirstConsumer": {FIXED}'],
        id="storage class",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "path", "value", "expected"), UPDATES)
def test_updates(name: str, obj: Object, path: tuple[str, ...], value: Any, expected: list[str]) -> None:
    assert refused_update(name, obj, path, value) == expected
