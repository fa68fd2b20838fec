"""CSI drivers, nodes and capacities, volume attachments, volume attributes classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.quantity import parse_or_zero
from control_plane.api.validation import metadata
from control_plane.api.validation.registry import (
    NOT_NEGATIVE,
    Errors,
    Object,
    immutable,
    not_negative,
    on_create,
    on_update,
    problems,
    spec_of,
)

_GROUP = "storage.k8s.io"
_MAX_NAME, _MAX_NODE_ID = 63, 192
_MAX_PARAMETERS, _MAX_PARAMETERS_BYTES = 512, 256 * 1024
_MIN_TOKEN_S, _MAX_TOKEN_S = 600, 1 << 32
_LIFECYCLE_MODES = ("Persistent", "Ephemeral")
_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def driver_name(path: str, name: str) -> Errors:
    if not name:
        yield errors.required(path)
        return
    if len(name) > _MAX_NAME:
        yield errors.too_long(path, _MAX_NAME)
    yield from problems(path, name, names.dns_subdomain(name.lower()))


def parameters(path: str, given: Mapping[str, str], may_be_empty: bool) -> Errors:
    """What a class hands to its driver."""
    if not given and not may_be_empty:
        yield errors.required(path, "must contain at least one key/value pair")
    if len(given) > _MAX_PARAMETERS:
        yield errors.too_many(path, len(given), _MAX_PARAMETERS)
        return
    if "" in given:
        yield errors.invalid_value(path, "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in given.items()) > _MAX_PARAMETERS_BYTES:
        yield errors.too_long(path, _MAX_PARAMETERS_BYTES)


def provisioner(path: str, name: str) -> Errors:
    if not name:
        yield errors.required(path)
    else:
        yield from problems(path, name, names.label_key(name.lower()))


@on_create(f"csidrivers.{_GROUP}")
def csi_driver(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from driver_name("metadata.name", (obj.get("metadata") or {}).get("name", ""))
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _LIFECYCLE_MODES:
            yield errors.not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLE_MODES)
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _GROUP_POLICIES:
        yield errors.not_supported("spec.fsGroupPolicy", policy, _GROUP_POLICIES)
    taken: set[str] = set()
    for index, token in enumerate(spec.get("tokenRequests") or ()):
        path, audience = f"spec.tokenRequests[{index}]", token.get("audience", "")
        if audience in taken:
            yield errors.duplicate(f"{path}.audience", audience)
        taken.add(audience)
        yield from _expiration(f"{path}.expirationSeconds", token.get("expirationSeconds"))


def _expiration(path: str, seconds: int | None) -> Errors:
    if seconds is None:
        return
    if seconds < _MIN_TOKEN_S:
        yield errors.invalid_value(path, seconds, "may not specify a duration less than 10 minutes")
    if seconds > _MAX_TOKEN_S:
        yield errors.invalid_value(path, seconds, "may not specify a duration larger than 2^32 seconds")


@on_update(f"csidrivers.{_GROUP}")
def csi_driver_update(new: Object, old: Object) -> Errors:
    spec, before = spec_of(new), spec_of(old)
    for key, shown in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes",) * 2):
        yield from immutable(f"spec.{shown}", spec.get(key), before.get(key))


@on_create(f"csinodes.{_GROUP}")
def csi_node(obj: Object) -> Errors:
    taken: set[str] = set()
    for index, driver in enumerate(spec_of(obj).get("drivers") or ()):
        path, name, node_id = f"spec.drivers[{index}]", driver.get("name", ""), driver.get("nodeID", "")
        yield from driver_name(f"{path}.name", name)
        if not node_id:
            yield errors.required(f"{path}.nodeID")
        elif len(node_id) > _MAX_NODE_ID:
            yield errors.invalid_value(
                f"{path}.nodeID", node_id, f"must be {_MAX_NODE_ID} characters or less"
            )
        yield from not_negative(f"{path}.allocatable.count", (driver.get("allocatable") or {}).get("count"))
        if name in taken:
            yield errors.duplicate(f"{path}.name", name)
        taken.add(name)
        yield from _topology_keys(f"{path}.topologyKeys", driver.get("topologyKeys") or [])


def _topology_keys(path: str, keys: list[str]) -> Errors:
    taken: set[str] = set()
    for key in keys:
        if not key:
            yield errors.required(path)
        if key in taken:
            yield errors.duplicate(path, key)
        taken.add(key)
        yield from problems(path, key, names.label_key(key))


@on_update(f"csinodes.{_GROUP}")
def csi_node_update(new: Object, old: Object) -> Errors:
    """A driver may come and go; how many volumes it takes may change; the rest may not."""
    had = {driver.get("name"): driver for driver in spec_of(old).get("drivers") or ()}
    for driver in spec_of(new).get("drivers") or ():
        before = had.get(driver.get("name"))
        if before is not None and _identity(driver) != _identity(before):
            yield errors.invalid_value("CSINodeDrivers", driver, "field is immutable")


def _identity(driver: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in driver.items() if key != "allocatable"}


@on_create(f"csistoragecapacities.{_GROUP}")
def csi_storage_capacity(obj: Object) -> Errors:
    yield from metadata.label_selector("nodeTopology", obj.get("nodeTopology"))
    name = obj.get("storageClassName", "")
    yield from problems("storageClassName", name, names.dns_subdomain(name))
    for key in ("capacity", "maximumVolumeSize"):
        if key in obj and parse_or_zero(obj[key]).nanos < 0:
            yield errors.invalid_value(key, str(obj[key]), NOT_NEGATIVE)


@on_update(f"csistoragecapacities.{_GROUP}")
def csi_storage_capacity_update(new: Object, old: Object) -> Errors:
    for key in ("nodeTopology", "storageClassName"):
        yield from immutable(key, new.get(key), old.get(key))


@on_create(f"volumeattachments.{_GROUP}")
def volume_attachment(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from driver_name("spec.attacher", spec.get("attacher", ""))
    source = spec.get("source") or {}
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if volume is None and inline is None:
        yield errors.required("spec.source", _ONE_SOURCE)
    elif volume is not None and inline is not None:
        yield errors.forbidden_field("spec.source", _ONE_SOURCE)
    elif volume == "":
        yield errors.required("spec.source.persistentVolumeName")
    elif volume is not None:
        yield from problems("spec.source.persistentVolumeName", volume, names.dns_subdomain(volume))
    node = spec.get("nodeName", "")
    yield from problems("spec.nodeName", node, names.dns_subdomain(node))


@on_update(f"volumeattachments.{_GROUP}")
def volume_attachment_update(new: Object, old: Object) -> Errors:
    yield from immutable("spec", new.get("spec"), old.get("spec"))


@on_create(f"volumeattributesclasses.{_GROUP}")
def volume_attributes_class(obj: Object) -> Errors:
    yield from provisioner("driverName", obj.get("driverName", ""))
    yield from parameters("parameters", obj.get("parameters") or {}, may_be_empty=False)


@on_update(f"volumeattributesclasses.{_GROUP}")
def volume_attributes_class_update(new: Object, old: Object) -> Errors:
    for key in ("driverName", "parameters"):
        if (new.get(key) or None) != (old.get(key) or None):
            yield errors.forbidden_field(key, f"updates to {key} are forbidden.")
