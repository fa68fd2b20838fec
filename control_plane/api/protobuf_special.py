"""Messages whose JSON form is no object: times, quantities, int-or-string, raw JSON.

Each has a pair of functions between the fields of its message and its JSON value. A message's bytes are
base64 text on the message side, as everywhere in the codec.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

Fields = dict[str, Any]

_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT, _STRING = 0, 1
_UNITS_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION_PART = re.compile(r"([0-9]*(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Codec:
    from_message: Callable[[Fields], Any]
    to_message: Callable[[Any], Fields]
    small: bool = False  # few values, seen again and again: worth remembering


@lru_cache(maxsize=4096)
def _seconds(text: str) -> tuple[int, int]:
    """Seconds and nanos since the epoch."""
    moment = datetime.fromisoformat(text)
    passed = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return passed.days * 86400 + passed.seconds, passed.microseconds * 1000


def _time_from(fields: Fields) -> str | None:
    if not fields:
        return None  # Go's zero time
    return (_EPOCH + timedelta(seconds=fields.get("seconds", 0))).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time_to(text: str) -> Fields:
    return {"seconds": _seconds(text)[0], "nanos": 0}


def _micro_time_from(fields: Fields) -> str | None:
    if not fields:
        return None
    moment = _EPOCH + timedelta(seconds=fields.get("seconds", 0), microseconds=fields.get("nanos", 0) // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _micro_time_to(text: str) -> Fields:
    seconds, nanos = _seconds(text)
    return {"seconds": seconds, "nanos": nanos}


def _int_or_string_from(fields: Fields) -> int | str:
    value: int | str = (
        fields.get("strVal", "") if fields.get("type", _INT) == _STRING else fields.get("intVal", 0)
    )
    return value


def _int_or_string_to(value: int | str) -> Fields:
    if isinstance(value, str):
        return {"type": _STRING, "intVal": 0, "strVal": value}
    return {"type": _INT, "intVal": value, "strVal": ""}


def _json_from(fields: Fields) -> Any:
    raw = b64decode(fields.get("-", ""))
    if raw.startswith(b"k8s\x00"):
        from control_plane.api import protobuf

        return protobuf.decode(raw)[2]
    return orjson.loads(raw) if raw else None


def _json_to(value: Any) -> Fields:
    return {"-": b64encode(orjson.dumps(value)).decode("ascii")}


def _duration_from(fields: Fields) -> str:
    return format_duration(fields.get("duration", 0))


def _duration_to(text: str) -> Fields:
    return {"duration": parse_duration_ns(text)}


def parse_duration_ns(text: str) -> int:
    """Go's spelling: `1h30m`, `1.5s`."""
    negative, body = text.startswith("-"), text.lstrip("+-")
    if body == "0":
        return 0
    parts = list(_DURATION_PART.finditer(body))
    if not parts or "".join(part[0] for part in parts) != body:
        raise ValueError(f'time: invalid duration "{text}"')
    total = sum(round(float(part[1]) * _UNITS_NS[part[2]]) for part in parts)
    return -total if negative else total


def format_duration(ns: int) -> str:
    if ns == 0:
        return "0s"
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    for unit in ("ns", "µs", "ms"):
        if ns < _UNITS_NS[unit] * 1000 and ns < _UNITS_NS["s"]:
            return f"{sign}{_decimal(ns, _UNITS_NS[unit])}{unit}"
    minutes, rest = divmod(ns, _UNITS_NS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _UNITS_NS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(ns: int, unit_ns: int) -> str:
    whole, rest = divmod(ns, unit_ns)
    if not rest:
        return str(whole)
    digits = len(str(unit_ns)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


def _either(first: str, second: str) -> Codec:
    """A union of a schema (`first`) and something else."""

    def from_message(fields: Fields) -> Any:
        return fields[first] if first in fields else fields.get(second)

    def to_message(value: Any) -> Fields:
        return {first: value} if isinstance(value, dict) else {second: value}

    return Codec(from_message, to_message)


def _schema_or_bool_from(fields: Fields) -> Any:
    return fields["schema"] if "schema" in fields else bool(fields.get("allows"))


def _schema_or_bool_to(value: Any) -> Fields:
    return {"allows": True, "schema": value} if isinstance(value, dict) else {"allows": bool(value)}


_JSON = Codec(_json_from, _json_to)
_LIST = Codec(lambda fields: fields.get("items", []), lambda items: {"items": items})

CODECS: dict[str, Codec] = {
    f"{_META}Time": Codec(_time_from, _time_to, small=True),
    f"{_META}MicroTime": Codec(_micro_time_from, _micro_time_to),
    f"{_META}Duration": Codec(_duration_from, _duration_to),
    f"{_META}FieldsV1": _JSON,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _JSON,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": Codec(
        _int_or_string_from, _int_or_string_to, small=True
    ),
    "k8s.io.apimachinery.pkg.api.resource.Quantity": Codec(
        lambda fields: fields.get("string", "0") or "0", lambda value: {"string": str(value)}, small=True
    ),
    f"{_EXTENSIONS}JSON": _JSON,
    f"{_EXTENSIONS}JSONSchemaPropsOrArray": _either("schema", "jSONSchemas"),
    f"{_EXTENSIONS}JSONSchemaPropsOrBool": Codec(_schema_or_bool_from, _schema_or_bool_to),
    f"{_EXTENSIONS}JSONSchemaPropsOrStringArray": _either("schema", "property"),
}


def for_shape(name: str, rows: list[list[Any]]) -> Codec | None:
    """Named Go slices (Verbs, ExtraValue) travel as a message with one repeated field."""
    return _LIST if [row[1:] for row in rows] == [["items", "string", "repeated", "?"]] else None
