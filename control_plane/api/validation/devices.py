"""resource.k8s.io: device classes, claims and their templates, resource slices, device taint rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation.placement import node_selector_term
from control_plane.api.validation.registry import (
    Errors,
    Object,
    dig,
    immutable,
    not_negative,
    on_create,
    on_update,
    problems,
    spec_of,
)

MAX_REQUESTS = 32
MAX_ALTERNATIVES = 8
MAX_SELECTORS = 32
MAX_CONSTRAINTS = 32
MAX_DEVICES = 128
MAX_ATTRIBUTES = 32  # and capacities, together
MAX_EXPRESSION = 10 * 1024
POSITIVE = "must be greater than zero"
WHERE = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
EFFECTS = ("NoExecute", "NoSchedule", "None")
VALUES = ("int", "bool", "string", "version", "ints", "bools", "strings", "versions")


@on_create("deviceclasses.resource.k8s.io")
def device_class(obj: Object) -> Errors:
    yield from _selectors("spec.selectors", spec_of(obj).get("selectors") or ())


@on_create("resourceclaims.resource.k8s.io")
def claim(obj: Object) -> Errors:
    yield from _claim("spec.devices", spec_of(obj).get("devices") or {})


@on_update("resourceclaims.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io")
def claim_update(new: Object, old: Object) -> Errors:
    yield from immutable("spec", new.get("spec"), old.get("spec"))


@on_create("resourceclaimtemplates.resource.k8s.io")
def template(obj: Object) -> Errors:
    yield from _claim("spec.spec.devices", dig(obj, "spec", "spec", "devices") or {})


@on_create("resourceslices.resource.k8s.io")
def resource_slice(obj: Object) -> Errors:
    spec = spec_of(obj)
    pool = spec.get("pool") or {}
    yield from _subdomain("spec.driver", spec.get("driver") or "")
    for part in (pool.get("name") or "").split("/"):
        yield from _subdomain("spec.pool.name", part)
    yield from not_negative("spec.pool.generation", pool.get("generation"))
    if (pool.get("resourceSliceCount") or 0) <= 0:
        yield errors.invalid_value(
            "spec.pool.resourceSliceCount", pool.get("resourceSliceCount") or 0, POSITIVE
        )
    yield from _one_of("spec", [name for name in WHERE if spec.get(name)], WHERE)
    yield from _node_selector("spec.nodeSelector", spec.get("nodeSelector"))
    devices = spec.get("devices") or ()
    if len(devices) > MAX_DEVICES:
        yield errors.too_many("spec.devices", len(devices), MAX_DEVICES)
    yield from _unique_names("spec.devices", devices)
    for index, device in enumerate(devices):
        yield from _device(f"spec.devices[{index}]", device, bool(spec.get("perDeviceNodeSelection")))


@on_update("resourceslices.resource.k8s.io")
def resource_slice_update(new: Object, old: Object) -> Errors:
    before, after = spec_of(old), spec_of(new)
    yield from immutable("spec.driver", after.get("driver"), before.get("driver"))
    yield from immutable("spec.pool.name", dig(after, "pool", "name"), dig(before, "pool", "name"))
    for name in ("nodeName", "nodeSelector", "allNodes"):
        yield from immutable(f"spec.{name}", after.get(name), before.get(name))


# ---- taint rules


@on_create("devicetaintrules.resource.k8s.io")
def taint_rule(obj: Object) -> Errors:
    spec = spec_of(obj)
    selector = spec.get("deviceSelector") or {}
    if driver := selector.get("driver"):
        yield from _subdomain("spec.deviceSelector.driver", driver)
    for part in (selector.get("pool") or "").split("/") if selector.get("pool") else ():
        yield from _subdomain("spec.deviceSelector.pool", part)
    if device := selector.get("device"):
        yield from problems("spec.deviceSelector.device", device, names.dns_label(device))
    yield from _taint("spec.taint", spec.get("taint") or {})


# ---- claims


def _claim(path: str, devices: Object) -> Errors:
    requests = devices.get("requests") or ()
    if len(requests) > MAX_REQUESTS:
        yield errors.too_many(f"{path}.requests", len(requests), MAX_REQUESTS)
    yield from _unique_names(f"{path}.requests", requests)
    for index, request in enumerate(requests):
        yield from _request(f"{path}.requests[{index}]", request)
    known = {request.get("name") for request in requests} | {
        f"{request.get('name')}/{each.get('name')}"
        for request in requests
        for each in request.get("firstAvailable") or ()
    }
    constraints = devices.get("constraints") or ()
    if len(constraints) > MAX_CONSTRAINTS:
        yield errors.too_many(f"{path}.constraints", len(constraints), MAX_CONSTRAINTS)
    for index, each in enumerate(constraints):
        at = f"{path}.constraints[{index}]"
        yield from _known(f"{at}.requests", each.get("requests") or (), known)
        kinds = ("matchAttribute", "distinctAttribute")
        yield from _one_of(at, [kind for kind in kinds if each.get(kind)], kinds)
    for index, each in enumerate(devices.get("config") or ()):
        at = f"{path}.config[{index}]"
        yield from _known(f"{at}.requests", each.get("requests") or (), known)
        if not each.get("opaque"):
            yield errors.required(f"{at}.opaque")


def _known(path: str, requests: Iterable[str], known: set[Any]) -> Errors:
    for index, name in enumerate(requests):
        if name not in known:
            yield errors.invalid_value(f"{path}[{index}]", name, "must be the name of a request in the claim")


def _request(path: str, request: Object) -> Errors:
    yield from problems(f"{path}.name", request.get("name") or "", names.dns_label(request.get("name") or ""))
    exactly, first = request.get("exactly"), request.get("firstAvailable") or ()
    fields = [name for name in ("exactly", "firstAvailable") if request.get(name) is not None]
    yield from _one_of(path, fields, ("exactly", "firstAvailable"))
    if exactly is not None:
        yield from _asked(f"{path}.exactly", exactly)
    if len(first) > MAX_ALTERNATIVES:
        yield errors.too_many(f"{path}.firstAvailable", len(first), MAX_ALTERNATIVES)
    yield from _unique_names(f"{path}.firstAvailable", first)
    for index, each in enumerate(first):
        at = f"{path}.firstAvailable[{index}]"
        yield from problems(f"{at}.name", each.get("name") or "", names.dns_label(each.get("name") or ""))
        yield from _asked(at, each)


def _asked(path: str, asked: Object) -> Errors:
    name, mode, count = asked.get("deviceClassName"), asked.get("allocationMode"), asked.get("count") or 0
    if not name:
        yield errors.required(f"{path}.deviceClassName")
    else:
        yield from _subdomain(f"{path}.deviceClassName", name)
    yield from _selectors(f"{path}.selectors", asked.get("selectors") or ())
    if mode == "All" and count:
        text = "must not be specified when allocationMode is 'All'"
        yield errors.invalid_value(f"{path}.count", count, text)
    elif mode == "ExactCount" and count <= 0:
        yield errors.invalid_value(f"{path}.count", count, POSITIVE)
    elif mode not in ("All", "ExactCount"):
        yield errors.not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount"))
    for index, each in enumerate(asked.get("tolerations") or ()):
        yield from _toleration(f"{path}.tolerations[{index}]", each)


def _toleration(path: str, toleration: Object) -> Errors:
    operator = toleration.get("operator")
    if operator == "Exists" and toleration.get("value"):
        yield errors.invalid_value(
            f"{path}.value", toleration["value"], "must be empty for operator `Exists`"
        )
    elif operator == "Equal" and not toleration.get("key"):
        yield errors.required(f"{path}.key")
    elif operator not in ("Equal", "Exists"):
        yield errors.not_supported(f"{path}.operator", operator, ("Equal", "Exists"))


def _selectors(path: str, selectors: Sequence[Object]) -> Errors:
    if len(selectors) > MAX_SELECTORS:
        yield errors.too_many(path, len(selectors), MAX_SELECTORS)
    for index, each in enumerate(selectors):
        expression = dig(each, "cel", "expression")
        at = f"{path}[{index}].cel"
        if each.get("cel") is None:
            yield errors.required(at)
        elif not expression:
            yield errors.required(f"{at}.expression")
        elif len(expression) > MAX_EXPRESSION:
            yield errors.too_long(f"{at}.expression", MAX_EXPRESSION)
        elif problem := _compile_problem(expression):
            yield errors.invalid_value(f"{at}.expression", expression, problem)


def _compile_problem(expression: str) -> str:
    from control_plane.apiserver.cel.devices import compile_selector  # the compiler, where it is needed

    found = compile_selector(expression)
    return found if isinstance(found, str) else ""


# ---- slices


def _device(path: str, device: Object, own_nodes: bool) -> Errors:
    name = device.get("name") or ""
    yield from problems(f"{path}.name", name, names.dns_label(name))
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if len(attributes) + len(capacity) > MAX_ATTRIBUTES:
        text = f"the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}"
        yield errors.invalid_value(path, len(attributes) + len(capacity), text)
    for key, value in attributes.items():
        at = f"{path}.attributes[{key}]"
        yield from _one_of(at, [each for each in VALUES if each in value], VALUES)
    where = [each for each in WHERE[:3] if device.get(each)]
    if own_nodes:
        yield from _one_of(path, where, WHERE[:3])
    else:
        for each in where:
            text = "can only be set when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
            yield errors.invalid_value(f"{path}.{each}", device[each], text)
    yield from _node_selector(f"{path}.nodeSelector", device.get("nodeSelector"))
    for index, taint in enumerate(device.get("taints") or ()):
        yield from _taint(f"{path}.taints[{index}]", taint)


def _taint(path: str, taint: Object) -> Errors:
    key, value, effect = (taint.get(name) or "" for name in ("key", "value", "effect"))
    yield from problems(f"{path}.key", key, names.label_key(key))
    yield from problems(f"{path}.value", value, names.label_value(value))
    if not effect:
        yield errors.required(f"{path}.effect")
    elif effect not in EFFECTS:
        yield errors.not_supported(f"{path}.effect", effect, EFFECTS)


def _node_selector(path: str, selector: Object | None) -> Errors:
    terms = (selector or {}).get("nodeSelectorTerms") or ()
    if selector is not None and len(terms) != 1:
        yield errors.invalid_value(
            f"{path}.nodeSelectorTerms", len(terms), "must have exactly one node selector term"
        )
    for index, term in enumerate(terms):
        yield from node_selector_term(f"{path}.nodeSelectorTerms[{index}]", term)


# ---- words


def _one_of(path: str, given: Sequence[str], known: Sequence[str]) -> Errors:
    wanted = f"exactly one of {', '.join(f'`{name}`' for name in known)} is required"
    if not given:
        yield errors.required(path, wanted)
    elif len(given) > 1:
        text = f"{wanted}, but multiple fields are set"
        yield errors.invalid_value(path, "{" + ", ".join(given) + "}", text)


def _subdomain(path: str, name: str) -> Errors:
    if not name:
        yield errors.required(path)
    else:
        yield from problems(path, name, names.dns_subdomain(name))


def _unique_names(path: str, items: Iterable[Object]) -> Errors:
    seen: set[str] = set()
    for index, each in enumerate(items):
        name = each.get("name") or ""
        if name in seen:
            yield errors.duplicate(f"{path}[{index}].name", name)
        seen.add(name)
