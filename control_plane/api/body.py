"""Request bodies in JSON and YAML, read with what the fast parsers hide: keys that occur twice.

`parse_json` and `parse_yaml` return the value and the duplicate fields found, worded as kube-apiserver's
strict decoder words them. JSON's last duplicate wins, as in Go. Finding them must cost almost nothing on
the usual path: what orjson read is written again, and only where it lost colons is the body read slowly.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
import yaml

from control_plane.api.errors import ApiError, quote

MAX_YAML_NODES = 400_000  # once anchors are unfolded; more is an attack, not a manifest


class BodyError(ApiError):
    """The body is no JSON or YAML. The apiserver answers BadRequest with this message."""


def parse_json(raw: bytes) -> tuple[Any, list[str]]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BodyError(f"couldn't get version/kind; json parse error: {_reason(raw, error)}") from None
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:  # it reads deeper than it writes
        raise BodyError("couldn't get version/kind; json parse error: exceeded max depth") from None
    if raw.count(b":") == written.count(b":"):
        return value, []
    return value, _json_duplicates(raw)


def parse_yaml(raw: bytes) -> tuple[Any, list[str]]:
    loader = _Loader(raw)
    try:
        value = _construct(loader, raw)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BodyError(f"error converting YAML to JSON: yaml: {_yaml_reason(error)}") from None
    finally:
        loader.dispose()
    return value, loader.duplicates


def _construct(loader: _Loader, raw: bytes) -> Any:
    """The document's value. Anchors are shared while they are read and unfold when they are written as
    JSON, so that a few lines can stand for gigabytes: the unfolded size is bounded."""
    node = loader.get_single_node()
    if node is None:
        return None
    if b"&" in raw and _unfolded(node, {}) > MAX_YAML_NODES:
        raise ValueError("document contains excessive aliasing")
    return loader.construct_document(node)


def _unfolded(node: Any, sizes: dict[int, int]) -> int:
    """How many nodes it is with every alias replaced by what it stands for."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    sizes[id(node)] = MAX_YAML_NODES + 1  # while it is open: an anchor inside itself has no end
    total = 1
    if isinstance(node, yaml.MappingNode):
        total += sum(_unfolded(key, sizes) + _unfolded(value, sizes) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_unfolded(item, sizes) for item in node.value)
    sizes[id(node)] = total
    return total


def _reason(raw: bytes, error: orjson.JSONDecodeError) -> str:
    if not raw.strip():
        return "unexpected end of JSON input"
    return f"{error.msg} at offset {error.pos}"


def _yaml_reason(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


def in_order(raw: bytes, problems: list[str]) -> list[str]:
    """Unknown and duplicate fields of a JSON body in the order in which it has them, as Go reports them."""
    found: list[str] = []
    _collect(json.loads(raw, object_pairs_hook=_Pairs), "", found)
    place = {problem: index for index, problem in enumerate(found)}
    return sorted(problems, key=lambda problem: place.get(problem, len(place)))


class _Pairs(list[tuple[str, Any]]):
    """An object as its keys and values, some of them twice."""


def _json_duplicates(raw: bytes) -> list[str]:
    found: list[str] = []
    _collect(json.loads(raw, object_pairs_hook=_Pairs), "", found)
    return [problem for problem in found if problem.startswith("duplicate")]


def _collect(value: Any, path: str, found: list[str]) -> None:
    """Every place of the body as what could be wrong there: once unknown, from then on duplicate."""
    if isinstance(value, _Pairs):
        seen: dict[str, bool] = {}  # whether it was told that the key is there twice
        for key, item in value:
            where = f"{path}.{key}" if path else key
            if key not in seen:
                seen[key] = False
                found.append(f"unknown field {quote(where)}")
            elif not seen[key]:
                seen[key] = True
                found.append(f"duplicate field {quote(where)}")
            _collect(item, where, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, f"{path}[{index}]", found)


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML as JSON: no timestamps, string keys, every key once, few aliases."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        self.flatten_mapping(node)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._json_key(self.construct_object(key_node, deep=True))
            if key in mapping:
                self.duplicates.append(
                    f"line {key_node.start_mark.line + 1}: key {quote(key)} already set in map"
                )
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping

    @staticmethod
    def _json_key(key: Any) -> str:
        if isinstance(key, str):
            return key
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, int | float):
            return str(key)
        raise ValueError(f"unsupported map key of type {type(key).__name__}")


def _construct_map(loader: _Loader, node: Any) -> dict[str, Any]:
    return loader.construct_mapping(node, deep=True)


def _refuse(loader: _Loader, node: Any) -> Any:
    raise ValueError(f"line {node.start_mark.line + 1}: {node.tag} is not JSON")


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
for _tag in ("binary", "set", "omap", "pairs", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _refuse)
