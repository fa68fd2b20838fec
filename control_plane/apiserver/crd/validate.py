"""Values against a schema, with the findings and the wording of kube-apiserver's validator.

Each keyword that a schema has is one check. On an update a value that is what it was may stay as wrong as it
was (ratcheting): `old` is the value that corresponds, or NEW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError, FieldErrorType
from control_plane.apiserver.crd import formats, patterns
from control_plane.apiserver.crd.correlation import NEW, element_of, equal, value_of

Schema = Mapping[str, Any]
Errors = Iterator[FieldError]

INT_OR_STRING = "x-kubernetes-int-or-string"
INT64 = range(-(1 << 63), 1 << 63)
_FLOAT_DIGITS = 6  # of a float that is printed without an exponent
INT32 = range(-(1 << 31), 1 << 31)


def validate(value: Any, schema: Schema, path: str = "", old: Any = NEW) -> Errors:
    """Everything that is wrong with `value`, which stands at `path`."""
    if old is not NEW and equal(value, old):
        return
    kind = json_type(value)
    yield from _type(value, kind, schema, path)
    for keyword, limit in schema.items():
        check = _BY_TYPE[kind].get(keyword)
        if check is not None and limit is not None:
            yield from check(value, limit, schema, path)
    if "format" in schema and kind == "string":
        yield from _format(value, schema["format"], path)
    if kind == "object":
        yield from _children(value, schema, path, old)
    elif kind == "array" and isinstance(schema.get("items"), Mapping):
        items = schema["items"]
        for index, item in enumerate(value):
            yield from validate(item, items, f"{path}[{index}]", element_of(item, index, schema, old))


def is_valid(value: Any, schema: Schema) -> bool:
    return next(validate(value, schema), None) is None


def json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
    return "object"


def _type(value: Any, kind: str, schema: Schema, path: str) -> Errors:
    expected: Sequence[str] = (schema["type"],) if schema.get("type") else ()
    if schema.get(INT_OR_STRING):
        expected = ("integer", "string")
    if not expected or kind in expected:
        return
    if kind == "null":
        if schema.get("nullable"):
            return
    elif (kind == "integer" and "number" in expected) or (
        kind == "number" and "integer" in expected and float(value).is_integer()
    ):
        return
    shown = ",".join(expected)
    yield errors.type_invalid(path, kind, f'{_where(path)} must be of type {shown}: "{kind}"')


def _children(value: dict[str, Any], schema: Schema, path: str, old: Any) -> Errors:
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for key, child in properties.items():
        if key in value:
            yield from validate(value[key], child, _child(path, key), value_of(old, key))
    if isinstance(additional, Mapping):
        for key, item in value.items():
            if key not in properties:
                yield from validate(item, additional, _child(path, key), value_of(old, key))


def _required(value: dict[str, Any], names: Sequence[str], schema: Schema, path: str) -> Errors:
    for name in names:
        if name not in value:
            yield errors.required(_child(path, name))


def _min_properties(value: dict[str, Any], limit: int, schema: Schema, path: str) -> Errors:
    if len(value) < limit:
        yield errors.invalid_value(path, value, f"{_where(path)} should have at least {limit} properties")


def _max_properties(value: dict[str, Any], limit: int, schema: Schema, path: str) -> Errors:
    if len(value) > limit:
        yield errors.too_many(path, len(value), limit)


def _min_items(value: list[Any], limit: int, schema: Schema, path: str) -> Errors:
    if len(value) < limit:
        yield errors.invalid_value(path, len(value), f"{_where(path)} should have at least {limit} items")


def _max_items(value: list[Any], limit: int, schema: Schema, path: str) -> Errors:
    if len(value) > limit:
        yield errors.too_many(path, len(value), limit)


def _unique_items(value: list[Any], wanted: bool, schema: Schema, path: str) -> Errors:
    if wanted and any(equal(item, other) for at, item in enumerate(value) for other in value[:at]):
        yield errors.invalid_value(path, "", f"{_where(path)} shouldn't contain duplicates")


def _max_length(value: str, limit: int, schema: Schema, path: str) -> Errors:
    if len(value) > limit:
        yield errors.too_long(path, limit)


def _min_length(value: str, limit: int, schema: Schema, path: str) -> Errors:
    if len(value) < limit:
        yield errors.invalid_value(path, value, f"{_where(path)} should be at least {limit} chars long")


def _pattern(value: str, pattern: str, schema: Schema, path: str) -> Errors:
    if pattern and not patterns.matches(pattern, value):
        yield errors.invalid_value(path, value, f"{_where(path)} should match '{pattern}'")


def _format(value: str, name: str, path: str) -> Errors:
    if not formats.is_valid(name, value):
        yield errors.type_invalid(
            path, value, f"{_where(path)} must be of type {name}: {errors.quote(value)}"
        )


def _enum(value: Any, allowed: Sequence[Any], schema: Schema, path: str) -> Errors:
    if not any(equal(value, each) for each in allowed):
        shown = [each if isinstance(each, str) else errors.show_value(each) for each in allowed]
        yield errors.not_supported(path, value, shown)


def _maximum(value: float, limit: float, schema: Schema, path: str) -> Errors:
    exclusive = schema.get("exclusiveMaximum")
    if value > limit or (exclusive and value == limit):
        words = "less than" if exclusive else "less than or equal to"
        yield errors.invalid_value(path, value, f"{_where(path)} should be {words} {number(limit, value)}")


def _minimum(value: float, limit: float, schema: Schema, path: str) -> Errors:
    exclusive = schema.get("exclusiveMinimum")
    if value < limit or (exclusive and value == limit):
        words = "greater than" if exclusive else "greater than or equal to"
        yield errors.invalid_value(path, value, f"{_where(path)} should be {words} {number(limit, value)}")


def _multiple_of(value: float, factor: float, schema: Schema, path: str) -> Errors:
    if factor <= 0:
        return
    fits = value % factor == 0 if isinstance(value, int) and isinstance(factor, int) else False
    quotient = 1 / factor * value if factor < 1 else value / factor
    if not fits and abs(quotient - round(quotient)) > 1e-9 * max(1.0, abs(quotient)):
        yield errors.invalid_value(
            path, value, f"{_where(path)} should be a multiple of {number(factor, value)}"
        )


def _integer_range(value: float, name: str, schema: Schema, path: str) -> Errors:
    """The range of a numeric format is checked where the type is integer."""
    wanted = INT32 if name == "int32" else INT64
    if schema.get("type") == "integer" and int(value) not in wanted:
        words = f"Checked value must be of type integer with format {name} in {path}"
        yield errors.invalid_value("<nil>", "", words)


def _all_of(value: Any, schemas: Sequence[Schema], schema: Schema, path: str) -> Errors:
    failed = False
    for each in schemas:
        found = list(validate(value, each, path))
        failed = failed or bool(found)
        yield from found
    if failed:
        yield _composition(path, "must validate all the schemas (allOf)")


def _any_of(value: Any, schemas: Sequence[Schema], schema: Schema, path: str) -> Errors:
    closest = _closest(value, schemas, path)
    if closest is not None:
        yield _composition(path, "must validate at least one schema (anyOf)")
        yield from closest


def _one_of(value: Any, schemas: Sequence[Schema], schema: Schema, path: str) -> Errors:
    if not schemas:
        return
    found = [list(validate(value, each, path)) for each in schemas]
    valid = sum(1 for each in found if not each)
    if valid == 1:
        return
    told = f"Found {valid} valid alternatives" if valid else "Found none valid"
    yield _composition(path, f"must validate one and only one schema (oneOf). {told}")
    if not valid:
        yield from min(found, key=len)


def _not(value: Any, schema_not: Schema, schema: Schema, path: str) -> Errors:
    if is_valid(value, schema_not):
        yield _composition(path, "must not validate the schema (not)")


def _closest(value: Any, schemas: Sequence[Schema], path: str) -> list[FieldError] | None:
    """The findings of the alternative with the fewest; None where one is valid."""
    found = [list(validate(value, each, path)) for each in schemas]
    return None if not found or not all(found) else min(found, key=len)


def _composition(path: str, words: str) -> FieldError:
    return FieldError(FieldErrorType.INVALID, "<nil>", "", f'"{path}" {words}')


def _where(path: str) -> str:
    return f"{path} in body"


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def number(limit: float, value: float = 0.0) -> str:
    """A bound as Go prints it: for a whole value a whole number, else a float64."""
    if isinstance(value, int):
        return str(int(limit))
    mantissa, found, exponent = f"{Decimal(repr(float(limit))).normalize():e}".partition("e")
    power = int(exponent) if found else 0
    if -4 <= power < _FLOAT_DIGITS:
        return f"{Decimal(repr(float(limit))).normalize():f}"
    return f"{mantissa}e{power:+03d}"


_Check = Callable[[Any, Any, Schema, str], Errors]
_EVERY: dict[str, _Check] = {
    "enum": _enum,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
}
_NUMBER: dict[str, _Check] = {
    **_EVERY,
    "format": _integer_range,
    "maximum": _maximum,
    "minimum": _minimum,
    "multipleOf": _multiple_of,
}
_BY_TYPE: Mapping[str, Mapping[str, _Check]] = {
    "null": {},
    "boolean": _EVERY,
    "integer": _NUMBER,
    "number": _NUMBER,
    "string": {**_EVERY, "maxLength": _max_length, "minLength": _min_length, "pattern": _pattern},
    "array": {**_EVERY, "minItems": _min_items, "maxItems": _max_items, "uniqueItems": _unique_items},
    "object": {
        **_EVERY,
        "required": _required,
        "minProperties": _min_properties,
        "maxProperties": _max_properties,
    },
}
