"""LimitRanger: the LimitRanges of a namespace give defaults to containers, and bounds to what is asked
for."""

from __future__ import annotations

from collections.abc import Iterator

from control_plane.api import meta
from control_plane.api.quantity import Quantity
from control_plane.apiserver.admission import pod_resources
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import CLAIMS, PODS, Dependencies, Plugin, forbidden
from control_plane.apiserver.admission.pod_resources import Resources

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"
    concerns = frozenset({PODS, CLAIMS})

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.operation is Operation.CREATE and _concerns(request) and request.resource == "pods":
            assert request.object is not None
            for limit_range in self._reader.list("", "limitranges", request.namespace):
                set_defaults(request.object, limit_range)

    async def validate(self, request: AdmissionRequest) -> None:
        if not _concerns(request):
            return
        for limit_range in self._reader.list("", "limitranges", request.namespace):
            found = list(violations(request.resource, request.object or {}, limit_range))
            if found:
                raise forbidden(request, found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _concerns(request: AdmissionRequest) -> bool:
    if request.group or request.object is None or meta.is_deleting(request.object):
        return False
    if request.resource == "pods":
        return (request.operation, request.subresource) in (
            (Operation.CREATE, ""),
            (Operation.UPDATE, "resize"),
        )
    changes = request.operation in (Operation.CREATE, Operation.UPDATE)
    return request.resource == "persistentvolumeclaims" and changes and not request.subresource


def set_defaults(pod: Object, limit_range: Object) -> None:
    """What containers leave open is set, and noted in an annotation."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in _items(limit_range, "Container"):
        limits.update(item.get("default") or {})
        requests.update(item.get("defaultRequest") or {})
    notes: list[str] = []
    spec = pod.setdefault("spec", {})
    for field, kind in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            for what, defaults in (("request", requests), ("limit", limits)):
                added = _fill(container, what + "s", defaults)
                if added:
                    notes.append(f"{', '.join(added)} {what} for {kind} {container.get('name', '')}")
    if notes:
        meta.set_annotation(pod, ANNOTATION, "LimitRanger plugin set: " + "; ".join(notes))


def _fill(container: Object, field: str, defaults: dict[str, str]) -> list[str]:
    resources = container.get("resources") or {}
    present = resources.get(field) or {}
    missing = {name: value for name, value in defaults.items() if name not in present}
    if missing:
        container["resources"] = {**resources, field: {**present, **missing}}
    return sorted(missing)


def violations(resource: str, obj: Object, limit_range: Object) -> Iterator[str]:
    """Every bound that the object breaks, in the words of Kubernetes."""
    spec = obj.get("spec") or {}
    if resource == "persistentvolumeclaims":
        requests = pod_resources.parse((spec.get("resources") or {}).get("requests"))
        for item in _items(limit_range, "PersistentVolumeClaim"):
            for name, bound in pod_resources.parse(item.get("min")).items():
                yield from _minimum("PersistentVolumeClaim", name, bound, requests, {})
            for name, bound in pod_resources.parse(item.get("max")).items():
                yield from _maximum_request("PersistentVolumeClaim", name, bound, requests)
        return
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        requests, limits = (pod_resources.of_container(container, kind) for kind in ("requests", "limits"))
        for item in _items(limit_range, "Container"):
            yield from _bounds("Container", item, requests, limits)
    requests, limits = (pod_resources.of_pod(spec, kind) for kind in ("requests", "limits"))
    for item in _items(limit_range, "Pod"):
        yield from _bounds("Pod", item, requests, limits)


def _bounds(kind: str, item: Object, requests: Resources, limits: Resources) -> Iterator[str]:
    for name, bound in pod_resources.parse(item.get("min")).items():
        yield from _minimum(kind, name, bound, requests, limits)
    for name, bound in pod_resources.parse(item.get("max")).items():
        yield from _maximum(kind, name, bound, requests, limits)
    for name, bound in pod_resources.parse(item.get("maxLimitRequestRatio")).items():
        yield from _ratio(kind, name, bound, requests, limits)


def _minimum(kind: str, name: str, bound: Quantity, requests: Resources, limits: Resources) -> Iterator[str]:
    start = f"minimum {name} usage per {kind} is {bound}"
    if name not in requests:
        yield f"{start}.  No request is specified"
    elif requests[name] < bound:
        yield f"{start}, but request is {requests[name]}"
    elif name in limits and limits[name] < bound:
        yield f"{start}, but limit is {limits[name]}"


def _maximum(kind: str, name: str, bound: Quantity, requests: Resources, limits: Resources) -> Iterator[str]:
    start = f"maximum {name} usage per {kind} is {bound}"
    if name not in limits:
        yield f"{start}.  No limit is specified"
    elif limits[name] > bound:
        yield f"{start}, but limit is {limits[name]}"
    elif name in requests and requests[name] > bound:
        yield f"{start}, but request is {requests[name]}"


def _maximum_request(kind: str, name: str, bound: Quantity, requests: Resources) -> Iterator[str]:
    start = f"maximum {name} usage per {kind} is {bound}"
    if name not in requests:
        yield f"{start}.  No request is specified"
    elif requests[name] > bound:
        yield f"{start}, but request is {requests[name]}"


def _ratio(kind: str, name: str, bound: Quantity, requests: Resources, limits: Resources) -> Iterator[str]:
    start = f"{name} max limit to request ratio per {kind} is {bound}"
    if name not in requests or requests[name].is_zero:
        yield f"{start}, but no request is specified or request is 0"
    elif name not in limits or limits[name].is_zero:
        yield f"{start}, but no limit is specified or limit is 0"
    elif limits[name].as_float() / requests[name].as_float() > bound.as_float():
        yield f"{start}, but provided ratio is {limits[name].as_float() / requests[name].as_float():f}"


def _items(limit_range: Object, kind: str) -> Iterator[Object]:
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == kind:
            yield item
