"""What a claim asks for, parsed: requests, the alternatives of each, constraints between their devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.api import meta
from control_plane.api.quantity import parse
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.devices import Device
from control_plane.scheduler.dynamic_resources.errors import RequestError
from control_plane.scheduler.framework.affinity import Toleration, tolerations

EXACT_COUNT, ALL = "ExactCount", "All"
MAX_RESULTS = 32  # devices of one claim, as the API allows


@dataclass(frozen=True, slots=True, eq=False)
class Alternative:
    """A request, or one of its subrequests."""

    request: str
    sub: str
    class_name: str
    mode: str
    count: int
    admin: bool
    selectors: tuple[str, ...]
    tolerations: tuple[Toleration, ...]
    capacity: Mapping[str, int]  # nanos
    obj: Obj

    @property
    def name(self) -> str:
        return f"{self.request}/{self.sub}" if self.sub else self.request


Values = frozenset[tuple[str, Any]]  # with their type: a number is not its text
Request = tuple[Alternative, ...]  # the first that can be had


def requests_of(claim: Obj) -> list[Request]:
    """Raises RequestError."""
    found: list[Request] = []
    for request in claim["spec"].get("devices", {}).get("requests") or ():
        if exactly := request.get("exactly"):
            found.append((_alternative(claim, request["name"], "", exactly),))
        elif subs := request.get("firstAvailable"):
            found.append(tuple(_alternative(claim, request["name"], each["name"], each) for each in subs))
        else:
            raise RequestError(f"{_of(claim, request['name'])}: missing device class name")
    return found


def _alternative(claim: Obj, name: str, sub: str, obj: Obj) -> Alternative:
    selectors: list[str] = []
    for index, each in enumerate(obj.get("selectors") or ()):
        if "cel" not in each:
            raise RequestError(f"{_of(claim, sub or name)}, selector #{index}: CEL expression empty")
        selectors.append(each["cel"]["expression"])
    if not obj.get("deviceClassName"):
        raise RequestError(f"{_of(claim, sub or name)}: missing device class name")
    mode = obj.get("allocationMode") or EXACT_COUNT
    if mode not in (EXACT_COUNT, ALL):
        raise RequestError(f"{_of(claim, sub or name)}: unsupported count mode {mode}")
    asked = (obj.get("capacity") or {}).get("requests") or {}
    return Alternative(
        name,
        sub,
        obj["deviceClassName"],
        mode,
        obj.get("count") or 1,
        bool(obj.get("adminAccess")),
        tuple(selectors),
        tolerations(obj.get("tolerations")),
        {key: parse(amount).nanos for key, amount in asked.items()},
        obj,
    )


def _of(claim: Obj, request: str) -> str:
    return f"claim {meta.key_of(claim)}, request {request}"


class Constraint(ABC):
    """Over the devices chosen so far for the requests that it names; no names: for all. What a device has of an
    attribute is a set, of one value where the attribute is no list (KEP 5491)."""

    def __init__(self, requests: Sequence[str], attribute: str) -> None:
        self._requests = frozenset(requests)
        self._attribute = attribute
        self._sets: list[Values] = []

    def add(self, alternative: Alternative, device: Device) -> bool:
        if not self._concerns(alternative):
            return True
        kept = self._with(values_of(device, self._attribute))
        if not kept:
            return False
        self._sets.append(kept)
        return True

    def remove(self, alternative: Alternative) -> None:
        """The device that was added last."""
        if self._concerns(alternative):
            self._sets.pop()

    def _concerns(self, alternative: Alternative) -> bool:
        names = self._requests
        return not names or alternative.request in names or alternative.name in names

    @abstractmethod
    def _with(self, values: Values) -> Values:
        """What to remember of a device with these; nothing when it does not go with the others."""


class MatchAttribute(Constraint):
    """Some value is common to all: what is left of them is remembered."""

    def _with(self, values: Values) -> Values:
        return values & self._sets[-1] if self._sets else values


class DistinctAttribute(Constraint):
    """No two have a value in common."""

    def _with(self, values: Values) -> Values:
        return values if all(values.isdisjoint(each) for each in self._sets) else frozenset()


def constraints_of(claim: Obj) -> list[Constraint]:
    """Raises RequestError."""
    found: list[Constraint] = []
    for index, each in enumerate(claim["spec"].get("devices", {}).get("constraints") or ()):
        names = each.get("requests") or ()
        if attribute := each.get("matchAttribute"):
            found.append(MatchAttribute(names, attribute))
        elif attribute := each.get("distinctAttribute"):
            found.append(DistinctAttribute(names, attribute))
        else:
            raise RequestError(f"claim {meta.key_of(claim)}, constraint #{index}: empty constraint")
    return found


def values_of(device: Device, name: str) -> Values:
    """With their type; a name of the driver's own domain may stand without it."""
    attributes = device.obj.get("attributes") or {}
    found = attributes.get(name)
    domain, slash, short = name.partition("/")
    if found is None and slash and domain == device.id[0]:
        found = attributes.get(short)
    for kind in ("string", "int", "bool", "version"):
        if found is not None and kind in found:
            return frozenset({(kind, found[kind])})
        if found is not None and f"{kind}s" in found:
            return frozenset((kind, each) for each in found[f"{kind}s"])
    return frozenset()
