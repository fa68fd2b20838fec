"""The books of one quota: what is used, whether more fits, and a count from scratch.

`charge` is what admission does for one request; `recount` is what the quota controller does now and then, and
what admission does for a quota whose status has not been filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from control_plane.api import quantity
from control_plane.api.quantity import Quantity
from control_plane.apiserver.admission import pod_resources
from control_plane.apiserver.admission.pod_resources import Resources
from control_plane.apiserver.admission.quota import scopes
from control_plane.apiserver.admission.quota.usage import LEGACY_COUNTS, STORAGE_CLASS_SUFFIX, usage

Object = dict[str, Any]
Lister = Callable[[str, str], Iterable[Object]]  # the namespace's objects of a (group, resource)

REQUIRED_OF_PODS = frozenset(
    {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
)


class Exceeded(Exception):
    """The request does not fit; the text is for the user."""


def hard(quota: Object) -> Resources:
    return pod_resources.parse((quota.get("status") or {}).get("hard"))


def used(quota: Object) -> Resources:
    return pod_resources.parse((quota.get("status") or {}).get("used"))


def is_counted(quota: Object) -> bool:
    """Whether the status says how much is used of all that the spec limits."""
    status = quota.get("status") or {}
    wanted = pod_resources.parse((quota.get("spec") or {}).get("hard"))
    return hard(quota) == wanted and wanted.keys() <= (status.get("used") or {}).keys()


def concerned(quota_names: Iterable[str], object_usage: Resources) -> set[str]:
    """Which of the quota's resources an object of this usage counts in."""
    return set(quota_names) & object_usage.keys()


def missing_requests(pod: Object, names: Iterable[str]) -> str:
    """What a pod must say since a quota counts it, as `limits.cpu for: a,b; …`; "" if nothing is missing."""
    spec = pod.get("spec") or {}
    at_pod_level = _specified(spec)
    missing: dict[str, set[str]] = {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        for name in (REQUIRED_OF_PODS & set(names)) - _specified(container) - at_pod_level:
            missing.setdefault(name, set()).add(container.get("name", ""))
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


def _specified(holder: Object) -> set[str]:
    resources = holder.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    return {*requests, *(f"requests.{n}" for n in requests), *(f"limits.{n}" for n in limits)}


def charge(quota: Object, delta: Resources, enforce: bool = True) -> Object | None:
    """The quota with the delta added to what is used; None if it is not touched. Raises Exceeded."""
    limits, present = hard(quota), used(quota)
    more = {name: value for name, value in delta.items() if name in limits and not value.is_zero}
    if not more:
        return None
    total = {name: present.get(name, quantity.ZERO) + value for name, value in more.items()}
    over = sorted(name for name in more if enforce and total[name] > limits[name] and more[name].nanos > 0)
    if over:
        columns = (("requested", more), ("used", present), ("limited", limits))
        told = ", ".join(f"{word}: {_listed(values, over)}" for word, values in columns)
        raise Exceeded(f"exceeded quota: {quota['metadata']['name']}, {told}")
    return with_used(quota, {**present, **total})


def recount(quota: Object, list_objects: Lister, kinds: Sequence[tuple[str, str]], now_s: float) -> Object:
    """The quota with its limits taken over from the spec and its usage counted from all objects."""
    limits = pod_resources.parse((quota.get("spec") or {}).get("hard"))
    total: Resources = dict.fromkeys(limits, quantity.ZERO)
    for group, resource in kinds:
        if not any(counts_in(name, group, resource) for name in limits):
            continue
        for obj in list_objects(group, resource):
            if scopes.matches(quota, group, resource, obj):
                for name, value in usage(group, resource, obj, now_s).items():
                    if name in total:
                        total[name] = total[name] + value
    fresh = with_used(quota, total)
    fresh["status"]["hard"] = {name: str(value) for name, value in limits.items()}
    return fresh


def counts_in(name: str, group: str, resource: str) -> bool:
    """Whether objects of this kind can use the named resource of a quota."""
    if name.startswith("count/"):
        return name == (f"count/{resource}.{group}" if group else f"count/{resource}")
    if group:
        return False
    if resource == "services":
        return name in ("services", "services.loadbalancers", "services.nodeports")
    if resource == "persistentvolumeclaims":
        return name in ("persistentvolumeclaims", "requests.storage") or STORAGE_CLASS_SUFFIX in name
    if resource == "pods":
        of_others = LEGACY_COUNTS - {"pods"} | {"requests.storage"}
        return name not in of_others and not name.startswith("services.") and STORAGE_CLASS_SUFFIX not in name
    return name == resource and resource in LEGACY_COUNTS


def with_used(quota: Object, amounts: Resources) -> Object:
    status = {**(quota.get("status") or {}), "used": {name: str(value) for name, value in amounts.items()}}
    return {**quota, "status": status}


def difference(new: Resources, old: Resources) -> Resources:
    """What a change adds; what it gives back counts too."""
    names = new.keys() | old.keys()
    return {n: new.get(n, quantity.ZERO) - old.get(n, quantity.ZERO) for n in names}


def _listed(values: dict[str, Quantity], names: Sequence[str]) -> str:
    return ",".join(f"{name}={values.get(name, quantity.ZERO)}" for name in names)
