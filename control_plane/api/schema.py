"""The structure of API objects: what a field is, how lists and maps merge.

`lookup(group, version, kind)` gives the root `Node` of a built-in kind. From there `child(name)` and
`element` lead to every field, and `patch_merge_key`, `patch_strategy`, `list_type`, `list_map_keys` and
`map_type` tell strategic merge and server-side apply how to treat it. `from_openapi` makes the same nodes
from the structural schema of a custom resource. `decode` (its own module) checks and normalizes objects by
these nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any

Object = dict[str, Any]


META = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META = f"{META}ObjectMeta"


class Type(IntEnum):
    STRING = 0
    INTEGER = 1
    BOOLEAN = 2
    STRUCT = 3
    ARRAY = 4
    MAP = 5
    NUMBER = 6
    BYTES = 7
    QUANTITY = 8
    INT_OR_STRING = 9
    TIME = 10
    MICRO_TIME = 11
    ANY = 12


EMPTY: dict[Type, Any] = {
    Type.STRING: "",
    Type.INTEGER: 0,
    Type.BOOLEAN: False,
    Type.NUMBER: 0,
    Type.BYTES: "",
}


class Node:
    """One place in an object: its type, its children, how it merges. Immutable once built; children are built
    when first asked for, because schemas refer to themselves."""

    __slots__ = (
        "_fields",
        "_item",
        "_schemas",
        "_spec",
        "bits",
        "drop_empty",
        "go_struct",
        "list_map_keys",
        "list_type",
        "map_type",
        "name",
        "patch_merge_key",
        "patch_strategy",
        "preserve_unknown",
        "type",
    )

    def __init__(self, spec: Mapping[str, Any], schemas: Schemas) -> None:
        self._spec = spec
        self._schemas = schemas
        self._fields: dict[str, Node] | None = None
        self._item: Node | None = None
        self.type = Type(spec["t"])
        self.name: str = spec.get("r", "")  # the definition of a struct
        self.go_struct = self.name.rpartition(".")[2]
        self.bits: int = spec.get("w", 64)
        self.drop_empty = bool(spec.get("o")) and not spec.get("p")
        self.patch_merge_key: str = spec.get("mk", "")
        self.patch_strategy: tuple[str, ...] = tuple(filter(None, spec.get("ms", "").split(",")))
        self.list_type: str = spec.get("lt", "")  # "", atomic, set, map
        self.list_map_keys: tuple[str, ...] = tuple(spec.get("lk", ()))
        self.map_type: str = spec.get("mt") or schemas.map_type(self.name)  # "", atomic, granular
        self.preserve_unknown = bool(spec.get("u"))

    def __repr__(self) -> str:
        return f"Node({self.type.name}{' ' + self.name if self.name else ''})"

    @property
    def fields(self) -> dict[str, Node]:
        """The properties of a struct; empty for everything else."""
        if self._fields is None:
            inline = self._spec.get("f")
            if inline is not None:
                self._fields = {name: Node(spec, self._schemas) for name, spec in inline.items()}
            elif self.name:
                self._fields = self._schemas.fields(self.name)
            else:
                self._fields = {}
        return self._fields

    @property
    def element(self) -> Node | None:
        """What a list or a map holds."""
        if self._item is None and "i" in self._spec:
            self._item = Node(self._spec["i"], self._schemas)
        return self._item

    def child(self, name: str) -> Node | None:
        """The child under `name`, of a struct or of a map."""
        return self.element if self.type is Type.MAP else self.fields.get(name)

    @property
    def is_pointer(self) -> bool:
        return bool(self._spec.get("p"))

    @property
    def default(self) -> Any:
        """A custom schema's default; None for built-ins, whose defaults are in `defaults`."""
        return self._spec.get("d")

    @property
    def always(self) -> tuple[tuple[str, Node], ...]:
        """The fields that Go writes even when they are unset."""
        return self._schemas.always(self.name) if self.name else ()

    def go_type(self) -> str:
        """The type's name in Go, for error messages."""
        match self.type:
            case Type.INTEGER:
                return f"int{self.bits}"
            case Type.STRUCT:
                return ".".join(self.name.split(".")[-2:]) or "object"
            case Type.ARRAY:
                return f"[]{self.element.go_type() if self.element else 'interface {}'}"
            case Type.MAP:
                return f"map[string]{self.element.go_type() if self.element else 'interface {}'}"
        return _GO_TYPES.get(self.type, "interface {}")


_GO_TYPES = {
    Type.STRING: "string",
    Type.BOOLEAN: "bool",
    Type.NUMBER: "float64",
    Type.BYTES: "[]uint8",
    Type.QUANTITY: "resource.Quantity",
    Type.INT_OR_STRING: "intstr.IntOrString",
    Type.TIME: "v1.Time",
    Type.MICRO_TIME: "v1.MicroTime",
}


class Schemas:
    """The definitions that nodes are made of; each is opened when first needed."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._kinds: Mapping[str, str] = table.get("kinds", {})
        self._definitions: Mapping[str, Any] = table.get("definitions", {})
        self._fields: dict[str, dict[str, Node]] = {}
        self._always: dict[str, tuple[tuple[str, Node], ...]] = {}
        self._roots: dict[str, Node] = {}

    def root(self, definition: str) -> Node | None:
        """The node of a whole definition; the same one each time."""
        if definition not in self._definitions:
            return None
        if definition not in self._roots:
            self._roots[definition] = Node({"t": Type.STRUCT, "r": definition}, self)
        return self._roots[definition]

    def lookup(self, group: str, version: str, kind: str) -> Node | None:
        name = self._kinds.get(f"{group}/{version}/{kind}")
        return self.root(name or META + kind)  # options and Status belong to every group

    def fields(self, definition: str) -> dict[str, Node]:
        found = self._fields.get(definition)
        if found is None:
            compiled = self._definitions.get(definition, {"f": {}})["f"]
            found = self._fields[definition] = {name: Node(spec, self) for name, spec in compiled.items()}
        return found

    def map_type(self, definition: str) -> str:
        compiled = self._definitions.get(definition)
        return compiled.get("m", "") if compiled else ""

    def always(self, definition: str) -> tuple[tuple[str, Node], ...]:
        found = self._always.get(definition)
        if found is None:
            found = tuple(
                (name, node)
                for name, node in self.fields(definition).items()
                if not node.is_pointer
                and (node.type is Type.STRUCT or (node.type in EMPTY and not node.drop_empty))
            )
            self._always[definition] = found
        return found


@lru_cache(maxsize=1)
def schemas() -> Schemas:
    """The built-in definitions, loaded once per process."""
    from control_plane.api import build

    return Schemas(build.load_schema_table())


def lookup(group: str, version: str, kind: str) -> Node | None:
    """The root node of a built-in kind, or None. Lists, `Scale`, `Eviction`, `DeleteOptions` … are
    kinds too.
    """
    return schemas().lookup(group, version, kind)


def definition(name: str) -> Node | None:
    """The node of an OpenAPI definition, such as that of `ObjectMeta`."""
    return schemas().root(name)


def complete(node: Node, obj: Object) -> Object:
    """Add the fields that Go always writes, after a strategy took some away. Changes `obj`."""
    for name, child in node.always:
        if child.type is Type.STRUCT:
            obj[name] = complete(child, obj.get(name) or {})
        else:
            obj.setdefault(name, EMPTY[child.type])
    return obj


def from_openapi(schema: Mapping[str, Any]) -> Node:
    """The nodes of a custom resource's structural schema (`openAPIV3Schema`), with ObjectMeta in its
    place.
    """
    spec = _openapi_spec(schema)
    spec["f"] = {
        "apiVersion": {"t": Type.STRING},
        "kind": {"t": Type.STRING},
        **spec.get("f", {}),
        "metadata": {"t": Type.STRUCT, "r": OBJECT_META},
    }
    spec["t"] = Type.STRUCT
    return Node(spec, schemas())


_OPENAPI_TYPES = {
    "string": Type.STRING,
    "integer": Type.INTEGER,
    "number": Type.NUMBER,
    "boolean": Type.BOOLEAN,
}


def _openapi_spec(schema: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"p": 1}
    for short, extension in (("lt", "list-type"), ("lk", "list-map-keys"), ("mt", "map-type")):
        if f"x-kubernetes-{extension}" in schema:
            spec[short] = schema[f"x-kubernetes-{extension}"]
    if "default" in schema:
        spec["d"] = schema["default"]
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        spec["u"] = 1
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        spec["t"] = Type.INT_OR_STRING
    elif kind == "array":
        spec |= {"t": Type.ARRAY, "i": _openapi_spec(schema.get("items") or {})}
    elif kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        spec |= {"t": Type.MAP, "i": _openapi_spec(schema["additionalProperties"])}
    elif kind == "object" and (schema.get("properties") or not spec.get("u")):
        fields = {name: _openapi_spec(item) for name, item in (schema.get("properties") or {}).items()}
        spec |= {"t": Type.STRUCT, "f": fields}
        if schema.get("x-kubernetes-embedded-resource"):
            spec["f"] = {
                "apiVersion": {"t": Type.STRING},
                "kind": {"t": Type.STRING},
                "metadata": {"t": Type.STRUCT, "r": OBJECT_META},
                **fields,
            }
    else:
        spec["t"] = _OPENAPI_TYPES.get(kind or "", Type.ANY)
    return spec
