"""The published API as data, put back into its original form.

Three inputs describe Kubernetes 1.36: `kubernetes-validate` holds the OpenAPI definitions (with every type
widened by null, and Quantity and IntOrString turned into unions: both undone here),
`data/protobuf-fields.json` the protobuf field numbers and the Go flags (pointer, omitempty), and
`resources.py` what is served. Only the build reads them; a running server reads what the build left.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
from pathlib import Path
from typing import Any

import orjson

KUBERNETES_MINOR = "1.36"
KUBERNETES_VERSION = "v1.36.0"
_SCHEMA_PACKAGE = "kubernetes-validate"

INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"

_RESTORED = {
    INT_OR_STRING: {
        "description": "IntOrString is a type that can hold an int32 or a string.",
        "format": "int-or-string",
        "type": "string",
    },
    QUANTITY: {
        "description": (
            "Quantity is a fixed-point representation of a number: a signed number, then a suffix that is binary "
            "(Ki, Mi, Gi, Ti, Pi, Ei), decimal (n, u, m, k, M, G, T, P, E) or a decimal exponent. It is written "
            "without a fraction, with the largest suffix that allows it."
        ),
        "type": "string",
    },
}

Definition = dict[str, Any]


def inputs_version() -> dict[str, str]:
    """What the compiled data depends on outside this package's own code."""
    return {"kubernetes": KUBERNETES_VERSION, _SCHEMA_PACKAGE: importlib.metadata.version(_SCHEMA_PACKAGE)}


def definitions() -> dict[str, Definition]:
    """Every OpenAPI definition by name; `$ref` holds the bare name of another."""
    found = orjson.loads(_definitions_file().read_bytes())["$defs"]
    restored = {name: _restore(schema) for name, schema in found.items()} | _RESTORED
    for schema in restored.values():
        for name in ("apiVersion", "kind"):
            schema.get("properties", {}).get(name, {}).pop("enum", None)
    return restored


def protobuf_messages() -> dict[str, list[list[Any]]]:
    """Message -> rows of [number, JSON name, type, `repeated` or `map` or "", flags]; types fully named."""
    path = importlib.resources.files("control_plane.api").joinpath("data/protobuf-fields.json")
    messages: dict[str, list[list[Any]]] = orjson.loads(path.read_bytes())
    for name, rows in messages.items():
        package = name.rpartition(".")[0]
        for row in rows:
            row += [""] * (5 - len(row))
            if row[2].startswith("."):
                row[2] = package + row[2]
    return messages


def message_name(definition: str) -> str:
    """`io.k8s.api.core.v1.Pod` -> `k8s.io.api.core.v1.Pod`: Go packages have no hyphens."""
    return "k8s.io." + definition.removeprefix("io.k8s.").replace("-", "_")


def _definitions_file() -> Path:
    import kubernetes_validate

    root = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    return root / f"{KUBERNETES_VERSION}-local" / "_definitions.json"


def _restore(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_restore(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    restored = {}
    for key, value in schema.items():
        if key == "$ref":
            restored[key] = value.rpartition("/")[2] if isinstance(value, str) else _restore(value)
        elif key == "type" and isinstance(value, list):
            restored[key] = next(t for t in value if t != "null")
        elif key == "enum" and isinstance(value, list):
            restored[key] = [item for item in value if item is not None]
        elif key == "properties":
            restored[key] = {name: _restore(item) for name, item in value.items()}
        elif key == "additionalProperties" and value is False:
            continue
        else:
            restored[key] = _restore(value)
    return restored
