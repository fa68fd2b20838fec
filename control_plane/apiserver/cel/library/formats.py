"""Kubernetes' named formats: `!format.dns1123Label().validate(name).hasValue()`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from control_plane.api import names
from control_plane.apiserver.cel.functions import Library, opaque
from control_plane.apiserver.cel.values import NONE, Optional
from control_plane.apiserver.crd import formats

LIBRARY = Library()
declare = LIBRARY.declare

Check = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    check: Check = field(compare=False)


opaque("kubernetes.NamedFormat", Format)


def _string_format(name: str, why: str) -> Check:
    return lambda text: [] if formats.is_valid(name, text) else [why]


_FORMATS: dict[str, Check] = {
    "dns1123Label": lambda text: list(names.dns_label(text)),
    "dns1123Subdomain": lambda text: list(names.dns_subdomain(text)),
    "dns1035Label": lambda text: list(names.dns1035_label(text)),
    "qualifiedName": lambda text: list(names.label_key(text)),
    "dns1123LabelPrefix": lambda text: list(names.dns_label(names.as_prefix(text))),
    "dns1123SubdomainPrefix": lambda text: list(names.dns_subdomain(names.as_prefix(text))),
    "dns1035LabelPrefix": lambda text: list(names.dns1035_label(names.as_prefix(text))),
    "labelValue": lambda text: list(names.label_value(text)),
    "uri": _string_format("uri", "invalid URI"),
    "uuid": _string_format("uuid", "does not match the UUID format"),
    "byte": _string_format("byte", "invalid base64"),
    "date": _string_format("date", "invalid date"),
    "datetime": _string_format("datetime", "invalid datetime"),
}


def _declare_constant(name: str, value: Format) -> None:
    @declare(f"function format.{name}() -> kubernetes.NamedFormat")
    def constant() -> Format:
        return value


for _name, _check in _FORMATS.items():
    _declare_constant(_name, Format(_name, _check))


@declare("function format.named(string) -> optional(kubernetes.NamedFormat)")
def named(name: str) -> Optional:
    return Optional(Format(name, _FORMATS[name])) if name in _FORMATS else NONE


@declare("method validate(kubernetes.NamedFormat, string) -> optional(list(string))")
def validate(value: Format, text: str) -> Optional:
    found = list(value.check(text))
    return Optional(found) if found else NONE
