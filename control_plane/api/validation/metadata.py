"""ObjectMeta, alike for every kind but for the rule of its name."""

from collections.abc import Iterable
from typing import Any

from control_plane.api import errors, names
from control_plane.api.registry import Resource
from control_plane.api.validation.registry import Errors, Object, immutable, problems

TOTAL_ANNOTATIONS_BYTES = 256 * 1024
MAX_MANAGER_CHARS = 128
MAX_SUBRESOURCE_CHARS = 256
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"

_RBAC = ".rbac.authorization.k8s.io"
NAME_RULES: dict[str, names.Check] = {
    "services": names.dns1035_label,
    "namespaces": names.dns_label,
    "statefulsets.apps": names.dns_label,
    **{
        f"{name}{_RBAC}": names.path_segment
        for name in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
    },
    "certificatesigningrequests.certificates.k8s.io": names.path_segment,
    "clustertrustbundles.certificates.k8s.io": names.path_segment,  # validation/certificates.py knows more
    "apiservices.apiregistration.k8s.io": names.path_segment,
    "events": names.path_segment,
    "events.events.k8s.io": names.path_segment,
    "ipaddresses.networking.k8s.io": names.ip,
}
"""Every other name is a DNS subdomain."""


def validate(resource: Resource, obj: Object) -> Errors:
    metadata: dict[str, Any] = obj.get("metadata") or {}
    rule = NAME_RULES.get(resource.group_resource, names.dns_subdomain)
    if prefix := metadata.get("generateName"):
        yield from problems("metadata.generateName", prefix, rule(names.as_prefix(prefix)))
    if name := metadata.get("name"):
        yield from problems("metadata.name", name, rule(name))
    else:
        yield errors.required("metadata.name", "name or generateName is required")
    yield from _namespace(resource, metadata.get("namespace"))
    yield from labels("metadata.labels", metadata.get("labels"))
    yield from annotations("metadata.annotations", metadata.get("annotations"))
    yield from _owners(metadata.get("ownerReferences") or [])
    yield from _finalizers(metadata.get("finalizers") or [])
    yield from _managed_fields(metadata.get("managedFields") or ())


def validate_update(new: Object, old: Object) -> Errors:
    metadata, before = new.get("metadata") or {}, old.get("metadata") or {}
    for key in (
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ):
        yield from immutable(f"metadata.{key}", metadata.get(key), before.get(key))
    generation = metadata.get("generation", 0)
    if generation < before.get("generation", 0):
        yield errors.invalid_value("metadata.generation", generation, "must not be decremented")
    added = set(metadata.get("finalizers") or ()) - set(before.get("finalizers") or ())
    if before.get("deletionTimestamp") and added:
        shown = ", ".join(errors.quote(name) for name in sorted(added))
        yield errors.forbidden_field(
            "metadata.finalizers",
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}",
        )


def _namespace(resource: Resource, namespace: str | None) -> Errors:
    if not resource.namespaced:
        if namespace:
            yield errors.forbidden_field("metadata.namespace", "not allowed on this type")
    elif not namespace:
        yield errors.required("metadata.namespace")
    else:
        yield from problems("metadata.namespace", namespace, names.dns_label(namespace))


def labels(path: str, pairs: dict[str, str] | None) -> Errors:
    for key, value in (pairs or {}).items():
        yield from problems(path, key, names.label_key(key))
        yield from problems(path, value, names.label_value(value))


def annotations(path: str, pairs: dict[str, str] | None) -> Errors:
    size_bytes = 0
    for key, value in (pairs or {}).items():
        yield from problems(path, key, names.label_key(key.lower()))
        size_bytes += len(key.encode()) + len(value.encode())
    if size_bytes > TOTAL_ANNOTATIONS_BYTES:
        yield errors.too_long(path, TOTAL_ANNOTATIONS_BYTES)


def _owners(owners: list[dict[str, Any]]) -> Errors:
    controller = ""
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                yield errors.required(f"{path}.{key}", "must not be empty")
        if owner.get("apiVersion") == "v1" and owner.get("kind") == "Event":
            yield errors.invalid_value(path, owner, "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            shown = f"{owner.get('kind')}/{owner.get('name')}"
            if controller:
                yield errors.invalid_value(
                    "metadata.ownerReferences",
                    owners,
                    f'Only one reference can have Controller set to true. Found "true" in references for {controller} and {shown}',
                )
            controller = controller or shown


def _finalizers(finalizers: list[str]) -> Errors:
    for name in finalizers:
        yield from problems("metadata.finalizers", name, names.label_key(name))
    if _ORPHAN in finalizers and _FOREGROUND in finalizers:
        yield errors.invalid_value(
            "metadata.finalizers", finalizers, f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"
        )


def _managed_fields(entries: Iterable[dict[str, Any]]) -> Errors:
    """A client may send them."""
    for index, entry in enumerate(entries):
        path = f"metadata.managedFields[{index}]"
        operation, type_ = entry.get("operation", ""), entry.get("fieldsType", "")
        if operation not in ("Apply", "Update"):
            yield errors.invalid_value(f"{path}.operation", operation, "must be `Apply` or `Update`")
        if type_ not in ("", "FieldsV1"):
            yield errors.invalid_value(f"{path}.fieldsType", type_, "must be `FieldsV1`")
        manager = entry.get("manager", "")
        if len(manager) > MAX_MANAGER_CHARS:
            yield errors.too_long(f"{path}.manager", MAX_MANAGER_CHARS)
        if not manager.isprintable():
            yield errors.invalid_value(f"{path}.manager", manager, "should only contain printable characters")
        if len(entry.get("subresource", "")) > MAX_SUBRESOURCE_CHARS:
            yield errors.too_long(f"{path}.subresource", MAX_SUBRESOURCE_CHARS)


def label_selector(path: str, selector: dict[str, Any] | None) -> Errors:
    """A LabelSelector anywhere in a spec."""
    if not selector:
        return
    yield from labels(f"{path}.matchLabels", selector.get("matchLabels"))
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        yield from _expression(f"{path}.matchExpressions[{index}]", expression)


def _expression(path: str, expression: dict[str, Any]) -> Errors:
    operator, values = expression.get("operator"), expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            yield errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield errors.forbidden_field(
                f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
    else:
        yield errors.invalid_value(f"{path}.operator", operator or "", "not a valid selector operator")
    key = expression.get("key", "")
    yield from problems(f"{path}.key", key, names.label_key(key))
    for index, value in enumerate(values):
        yield from problems(f"{path}.values[{index}]", value, names.label_value(value))
