"""Volumes, claims and storage classes."""

from __future__ import annotations

from control_plane.api import errors, names
from control_plane.api.quantity import parse_or_zero
from control_plane.api.validation import csi, metadata, volume_sources, volumes
from control_plane.api.validation.placement import node_selector_term
from control_plane.api.validation.registry import (
    Errors,
    Object,
    immutable,
    on_create,
    on_update,
    one_of,
    problems,
    spec_of,
)

_NOT_SOURCES = {"capacity", "accessModes", "claimRef", "nodeAffinity", "mountOptions"}
_CLAIM_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


@on_create("persistentvolumes")
def persistent_volume(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from volumes.access_modes("spec.accessModes", spec.get("accessModes") or [], why="")
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield errors.required("spec.capacity")
    elif set(capacity) != {"storage"}:
        yield errors.not_supported("spec.capacity", capacity, ("storage",))
    yield from volumes.size("spec.capacity[storage]", capacity)
    if "storage" in capacity and parse_or_zero(capacity["storage"]).is_zero:
        yield errors.invalid_value(
            "spec.capacity[storage]", str(capacity["storage"]), "must be greater than zero"
        )
    yield from one_of(
        "spec.persistentVolumeReclaimPolicy",
        spec.get("persistentVolumeReclaimPolicy"),
        ("Delete", "Recycle", "Retain"),
    )
    sources = [key for key, value in spec.items() if isinstance(value, dict) and key not in _NOT_SOURCES]
    if not sources:
        yield errors.required("spec", "must specify a volume type")
    for kind in sources[:1]:
        yield from volume_sources.source(f"spec.{kind}", kind, spec[kind], obj["metadata"].get("name", ""))
    for extra in sources[1:]:
        yield errors.forbidden_field(f"spec.{extra}", "may not specify more than 1 volume type")
    required = (spec.get("nodeAffinity") or {}).get("required")
    if "local" in spec and required is None:
        yield errors.required("spec.nodeAffinity", "Local volume requires node affinity")
    for index, term in enumerate((required or {}).get("nodeSelectorTerms") or ()):
        yield from node_selector_term(f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]", term)
    if name := spec.get("storageClassName"):
        yield from problems("spec.storageClassName", name, names.dns_subdomain(name))


@on_update("persistentvolumes")
def persistent_volume_update(new: Object, old: Object) -> Errors:
    def source(obj: Object) -> dict[str, object]:
        return {k: v for k, v in spec_of(obj).items() if isinstance(v, dict) and k not in _NOT_SOURCES}

    if source(new) != source(old):
        yield errors.forbidden_field(
            "spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"
        )
    yield from immutable("spec.volumeMode", spec_of(new).get("volumeMode"), spec_of(old).get("volumeMode"))
    affinity = spec_of(old).get("nodeAffinity")
    if affinity:
        yield from immutable("spec.nodeAffinity", spec_of(new).get("nodeAffinity"), affinity)


@on_create("persistentvolumeclaims")
def persistent_volume_claim(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from volumes.access_modes("spec.accessModes", spec.get("accessModes") or [])
    yield from metadata.label_selector("spec.selector", spec.get("selector"))
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        yield errors.required("spec.resources[storage]")
    else:
        yield from volumes.size("spec.resources[storage]", requests)
        if parse_or_zero(requests["storage"]).is_zero:
            yield errors.invalid_value(
                "spec.resources[storage]", str(requests["storage"]), "must be greater than zero"
            )
    if name := spec.get("storageClassName"):
        yield from problems("spec.storageClassName", name, names.dns_subdomain(name))
    if mode := spec.get("volumeMode"):
        yield from one_of("spec.volumeMode", mode, ("Block", "Filesystem"))


@on_update("persistentvolumeclaims")
def persistent_volume_claim_update(new: Object, old: Object) -> Errors:
    spec, before = spec_of(new), spec_of(old)
    bound = (old.get("status") or {}).get("phase") == "Bound"
    mutable = {"resources", "volumeAttributesClassName"} if bound else set()
    if not before.get("volumeName"):
        mutable |= {"volumeName"}
    if before.get("storageClassName") is None:
        mutable |= {"storageClassName"}  # the default class may be filled in later
    now = {key: value for key, value in spec.items() if key not in mutable}
    then = {key: value for key, value in before.items() if key not in mutable}
    if now != then:
        yield errors.forbidden_field("spec", _CLAIM_IMMUTABLE)
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    had = ((before.get("resources") or {}).get("requests") or {}).get("storage")
    if bound and parse_or_zero(size) < parse_or_zero(had):
        yield errors.forbidden_field(
            "spec.resources.requests.storage", "field can not be less than status.capacity"
        )


@on_create("storageclasses.storage.k8s.io")
def storage_class(obj: Object) -> Errors:
    yield from csi.provisioner("provisioner", obj.get("provisioner", ""))
    yield from csi.parameters("parameters", obj.get("parameters") or {}, may_be_empty=True)
    yield from one_of("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    yield from one_of(
        "volumeBindingMode", obj.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer")
    )


@on_update("storageclasses.storage.k8s.io")
def storage_class_update(new: Object, old: Object) -> Errors:
    for key in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(key) or None) != (old.get(key) or None):
            yield errors.forbidden_field(key, f"updates to {key} are forbidden.")
    yield from immutable("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))
