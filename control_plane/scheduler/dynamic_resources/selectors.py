"""CEL expressions that choose devices, as `device.attributes["gpu.example.com"].slots > 4`.

    device.driver                        string
    device.attributes[domain].name       int, bool, string or semver; a domain that nobody uses is an empty map
    device.capacity[domain].name         quantity
    device.allowMultipleAllocations      bool

A name without a domain belongs to the driver's. An attribute that a device does not have is an error, unless
the expression asks first (`"name" in device.attributes[domain]`, `.?name.orValue(…)`); the error ends the
allocation, since the rule and not the device is wrong.
"""

from __future__ import annotations

from typing import Any

from control_plane.api import quantity
from control_plane.scheduler.dynamic_resources.devices import Device
from control_plane.scheduler.dynamic_resources.errors import RequestError


class _Domains(dict[str, dict[str, Any]]):
    def __missing__(self, key: str) -> dict[str, Any]:
        return {}


def matches(expression: str, device: Device) -> bool:
    """Raises RequestError, which does not say whose expression it is."""
    from control_plane.apiserver import cel  # loads a compiler: only where there are selectors
    from control_plane.apiserver.cel.devices import compile_selector

    program = compile_selector(expression)
    if isinstance(program, str):
        raise RequestError(f"CEL compile error: {program}")
    try:
        if device.value is None:
            device.value = _value(device)
        answer = program.evaluate({"device": device.value})
    except (cel.EvaluationError, cel.BudgetExceeded) as error:
        raise RequestError(f"CEL runtime error: {error}") from error
    if not isinstance(answer, bool):
        raise RequestError(f"CEL result of type {type(answer).__name__} could not be converted to bool")
    return answer


def _value(device: Device) -> dict[str, Any]:
    driver = device.id[0]
    attributes, capacity = _Domains(), _Domains()
    for name, attribute in (device.obj.get("attributes") or {}).items():
        domain, key = _qualified(name, driver)
        attributes.setdefault(domain, {})[key] = _attribute(name, attribute)
    for name, each in (device.obj.get("capacity") or {}).items():
        domain, key = _qualified(name, driver)
        capacity.setdefault(domain, {})[key] = quantity.parse(each["value"])
    return {
        "driver": driver,
        "attributes": attributes,
        "capacity": capacity,
        "allowMultipleAllocations": device.shared,
    }


def _qualified(name: str, driver: str) -> tuple[str, str]:
    domain, slash, key = name.partition("/")
    return (domain, key) if slash else (driver, name)


def _attribute(name: str, attribute: dict[str, Any]) -> Any:
    from control_plane.apiserver import cel
    from control_plane.apiserver.cel.library import semver

    for field in ("int", "bool", "string", "ints", "bools", "strings"):
        if field in attribute:
            return attribute[field]
    try:
        if "version" in attribute:
            return semver.parse(attribute["version"])
        if "versions" in attribute:
            return [semver.parse(each) for each in attribute["versions"]]
    except cel.EvaluationError as error:
        raise RequestError(f"attribute {name}: {error}") from error
    raise RequestError(f"attribute {name}: unsupported attribute value")
