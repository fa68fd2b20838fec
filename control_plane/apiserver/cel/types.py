"""Types of expressions. DYN is compatible with everything: what it holds shows when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Type:
    """`parameters` are the element type of a list, key and value types of a map, what an optional holds."""

    name: str
    parameters: tuple[Type, ...] = ()
    fields_of: Callable[[], Mapping[str, Type]] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if self.name == "optional":
            return f"optional_type({self.parameters[0]})"
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    @property
    def is_object(self) -> bool:
        return self.fields_of is not None

    @property
    def element(self) -> Type:
        """What a list holds, or the values of a map."""
        return self.parameters[-1] if self.parameters else DYN


DYN = Type("dyn")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES, NULL = Type("string"), Type("bytes"), Type("null_type")
DURATION = Type("google.protobuf.Duration")
TIMESTAMP = Type("google.protobuf.Timestamp")
TYPE = Type("type")


def list_of(element: Type) -> Type:
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


def optional_of(inner: Type) -> Type:
    return Type("optional", (inner,))


def object_of(name: str, fields: Mapping[str, Type] | Callable[[], Mapping[str, Type]]) -> Type:
    """An object with these fields and no others; a function is called when they are first needed."""
    return Type(name, (), fields if callable(fields) else lambda: fields)


def opaque_type(name: str) -> Type:
    return Type(name)


def variable(letter: str) -> Type:
    """A type parameter of a function's signature."""
    return Type(f"<{letter}>")


def is_variable(type_: Type) -> bool:
    return type_.name.startswith("<")


def assignable(target: Type, given: Type, bound: dict[str, Type] | None = None) -> bool:
    """Whether a value of type `given` can stand where `target` is wanted; binds the variables of `target`."""
    if is_variable(target):
        if bound is None:
            return True
        known = bound.get(target.name)
        if known is None or known == DYN:
            bound[target.name] = given
            return True
        return assignable(known, given)
    if DYN in (target, given):
        return True
    if target.name != given.name:
        return given == NULL and (target.is_object or target.name in _NULLABLE)
    if len(target.parameters) != len(given.parameters):
        return True
    return all(
        assignable(want, have, bound) for want, have in zip(target.parameters, given.parameters, strict=True)
    )


_NULLABLE = {DURATION.name, TIMESTAMP.name}


def substitute(type_: Type, bound: Mapping[str, Type]) -> Type:
    if is_variable(type_):
        return bound.get(type_.name, DYN)
    if not type_.parameters:
        return type_
    return Type(type_.name, tuple(substitute(each, bound) for each in type_.parameters), type_.fields_of)


def join(one: Type, other: Type) -> Type:
    """The type of what may be either."""
    if one == other:
        return one
    if one == NULL and other != NULL:
        return other if other.is_object or other.name in _NULLABLE else DYN
    if other == NULL:
        return join(other, one)
    if one.name == other.name and one.parameters and len(one.parameters) == len(other.parameters):
        pairs = zip(one.parameters, other.parameters, strict=True)
        return Type(one.name, tuple(join(mine, theirs) for mine, theirs in pairs))
    return DYN
