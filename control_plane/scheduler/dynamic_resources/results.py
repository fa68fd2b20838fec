"""The AllocationResult of a claim: its devices, their configuration, and the nodes that can use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from control_plane.api import meta
from control_plane.api.quantity import Format, Quantity
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.errors import RequestError
from control_plane.scheduler.dynamic_resources.requests import Alternative

if TYPE_CHECKING:
    from control_plane.scheduler.dynamic_resources.allocator import Chosen


def allocation(
    claim: Obj, chosen: Sequence[Chosen], used: Sequence[tuple[Alternative, Obj]], node_name: str
) -> Obj:
    """`used`: the alternative that each request came to, with its class."""
    devices: Obj = {"results": [_result(each) for each in chosen]}
    if config := _config(claim, used):
        devices["config"] = config
    result: Obj = {"devices": devices}
    if (selector := _node_selector(chosen, node_name)) is not None:
        result["nodeSelector"] = selector
    return result


def _result(each: Chosen) -> Obj:
    driver, pool, device = each.device.id
    result: Obj = {"request": each.alternative.name, "driver": driver, "pool": pool, "device": device}
    if each.alternative.admin:
        result["adminAccess"] = True
    if tolerations := each.alternative.obj.get("tolerations"):
        result["tolerations"] = tolerations
    for name in ("bindingConditions", "bindingFailureConditions"):
        if conditions := each.device.obj.get(name):
            result[name] = conditions
    if each.share:
        result["shareID"] = each.share
    if each.consumed:
        amounts = {
            name: str(Quantity(nanos, Format.BINARY_SI)) for name, nanos in sorted(each.consumed.items())
        }
        result["consumedCapacity"] = amounts
    return result


def _config(claim: Obj, used: Sequence[tuple[Alternative, Obj]]) -> list[Obj]:
    """The classes' first, which the claim's may override; no names where it is for all requests."""
    found: list[Obj] = []
    by_class: dict[str, list[Obj]] = {}
    for alternative, device_class in used:
        name = meta.name_of(device_class)
        if name in by_class:
            for each in by_class[name]:
                each["requests"].append(alternative.name)
            continue
        configs = (device_class.get("spec") or {}).get("config") or ()
        by_class[name] = [{"source": "FromClass", "requests": [alternative.name], **each} for each in configs]
        found += by_class[name]
    for each in claim["spec"]["devices"].get("config") or ():
        requests = set(each.get("requests") or ())
        if not requests or any({a.request, a.name} & requests for a, _ in used):
            found.append({**each, "source": "FromClaim"})
    for each in found:
        names = set(each.get("requests") or ())
        if all({alternative.request, alternative.name} & names for alternative, _ in used):
            each.pop("requests", None)
    return found


def _node_selector(chosen: Sequence[Chosen], node_name: str) -> Obj | None:
    """One term that holds for all devices; None: any node will do."""
    fields: list[Obj] = []
    expressions: list[Obj] = []
    for each in chosen:
        device = each.device
        if device.choice.name or device.binds_to_node:
            only = {"key": "metadata.name", "operator": "In", "values": [node_name]}
            return {"nodeSelectorTerms": [{"matchFields": [only]}]}
        terms = (device.choice.selector or {}).get("nodeSelectorTerms") or ()
        if len(terms) > 1:
            raise RequestError(f"unsupported ResourceSlice.NodeSelector with {len(terms)} terms")
        for term in terms:
            fields += [e for e in term.get("matchFields") or () if e not in fields]
            expressions += [e for e in term.get("matchExpressions") or () if e not in expressions]
    term = {
        **({"matchFields": fields} if fields else {}),
        **({"matchExpressions": expressions} if expressions else {}),
    }
    return {"nodeSelectorTerms": [term]} if term else None
