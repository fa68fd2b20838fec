"""Mutations: expressions that make patches.

A JSONPatch expression lists operations, `JSONPatch{op: "add", path: "/spec/x", value: 1}`. An ApplyConfiguration
is an object that is merged into the one in the request as server-side apply does,
`Object{spec: Object.spec{replicas: 3}}`. Such messages are maps to the engine: the tree is rewritten before it is
compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from control_plane.api.schema import Node as Schema
from control_plane.apiserver import cel
from control_plane.apiserver.admission.policies.authorizer import FUNCTIONS
from control_plane.apiserver.admission.policies.expressions import Expression
from control_plane.apiserver.cel.ast import Literal, MapOf, Node, Struct
from control_plane.apiserver.cel.compiler import Program, compile_tree
from control_plane.apiserver.cel.errors import Issue
from control_plane.apiserver.cel.functions import overload
from control_plane.apiserver.cel.parser import parse
from control_plane.apiserver.patch.apply.fields import child, element_key, is_atomic
from control_plane.apiserver.patch.apply.merge import merge
from control_plane.apiserver.patch.errors import PatchDoesNotApply, PatchError
from control_plane.apiserver.patch.json_patch import apply_json_patch

JSON_PATCH, APPLY_CONFIGURATION = "JSONPatch", "ApplyConfiguration"
_OPERATION_FIELDS = ("op", "path", "from", "value")

Object = dict[str, Any]


class BadMutation(Exception):
    """The mutation cannot be made; failurePolicy decides."""


@dataclass(frozen=True, slots=True)
class Mutation:
    patch_type: str
    expression: Expression


def _escape_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


_FUNCTIONS = (*FUNCTIONS, overload("function jsonpatch.escapeKey(string) -> string", _escape_key))


def compile_mutation(mutation: Mapping[str, Any], names: Mapping[str, cel.Type]) -> Mutation:
    patch_type = mutation.get("patchType", "")
    field = "jsonPatch" if patch_type == JSON_PATCH else "applyConfiguration"
    text = (mutation.get(field) or {}).get("expression", "")
    wanted = "list" if patch_type == JSON_PATCH else "map"
    try:
        program = _compile(text, names)
    except cel.CompileError as error:
        return Mutation(patch_type, Expression(text, None, f"compilation failed: {error}"))
    if program.result_type.name not in (wanted, "dyn"):
        shown = "list(JSONPatch)" if patch_type == JSON_PATCH else "Object"
        return Mutation(patch_type, Expression(text, None, f"must evaluate to {shown}"))
    return Mutation(patch_type, Expression(text, program))


def _compile(text: str, names: Mapping[str, cel.Type]) -> Program:
    """Raises CompileError."""
    issues: list[Issue] = []
    tree = _as_maps(parse(text), issues)
    if issues:
        raise cel.CompileError(text, issues)
    return compile_tree(text, tree, names, _FUNCTIONS)


def _as_maps(node: Any, issues: list[Issue]) -> Any:
    """The tree with maps in the place of messages."""
    if isinstance(node, Struct):
        _check_message(node, issues)
        entries = [
            (Literal(value.at, name), _as_maps(value, issues), optional)
            for name, value, optional in node.fields
        ]
        return MapOf(node.at, tuple(entries), is_message=True)
    if isinstance(node, tuple | list):
        return tuple(_as_maps(each, issues) for each in node)
    if isinstance(node, Node) and is_dataclass(node):
        changed = {
            each.name: _as_maps(getattr(node, each.name), issues)
            for each in fields(node)
            if isinstance(getattr(node, each.name), Node | tuple | list)
        }
        return replace(node, **changed) if changed else node
    return node


def _check_message(node: Struct, issues: list[Issue]) -> None:
    if node.name == "JSONPatch":
        for name, value, _ in node.fields:
            if name not in _OPERATION_FIELDS:
                issues.append(Issue(value.at, f"undefined field '{name}'"))
    elif node.name.partition(".")[0] != "Object":
        issues.append(Issue(node.at, f"undeclared reference to '{node.name}' (in container '')"))


def patched(shown: Object, patch_type: str, result: Any, schema: Schema | None) -> Object:
    """A copy of what the policy was shown, with the mutation made. Raises BadMutation."""
    if patch_type == JSON_PATCH:
        return _json_patched(shown, result)
    return _applied(shown, result, schema)


def _json_patched(shown: Object, operations: Any) -> Object:
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise BadMutation("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
    try:
        result = apply_json_patch(shown, [_plain(each) for each in operations])
    except PatchDoesNotApply as error:
        if str(error).endswith("test failed"):
            return deepcopy(shown)  # a test that fails means: nothing to do
        raise BadMutation(f"JSON Patch: {error}") from error
    except PatchError as error:
        raise BadMutation(f"JSON Patch: {error}") from error
    if not isinstance(result, dict):
        raise BadMutation("JSON Patch: the patched document is not an object")
    return deepcopy(result)


def _applied(shown: Object, configuration: Any, schema: Schema | None) -> Object:
    if not isinstance(configuration, dict):
        raise BadMutation("type mismatch: ApplyConfigurationType.expression should evaluate to Object")
    configuration = _plain(configuration)
    for key in ("apiVersion", "kind"):
        configuration.pop(key, None)
    try:
        atomics = _atomics(configuration, schema, ())
        merged: Object = merge(deepcopy(shown), configuration, schema)
    except PatchError as error:
        raise BadMutation(f"error applying patch: {error}") from error
    if atomics:
        raise BadMutation(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
            + ", ".join(atomics)
        )
    return merged


def _atomics(value: Any, schema: Schema | None, at: tuple[str, ...]) -> list[str]:
    """Paths of what can only be replaced as a whole; an apply by a policy must not."""
    if isinstance(value, dict | list) and at and is_atomic(schema, value):
        return ["." + ".".join(at)]
    if isinstance(value, dict):
        return [
            path for key, inner in value.items() for path in _atomics(inner, child(schema, key), (*at, key))
        ]
    if isinstance(value, list) and schema is not None:
        keyed = [(element_key(each, schema), each) for each in value]
        return [path for key, inner in keyed for path in _atomics(inner, schema.element, (*at, key))]
    return []


def _plain(value: Any) -> Any:
    """CEL's values as JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, cel.Timestamp | cel.Duration):
        return value.text()
    if isinstance(value, bool) or value is None or isinstance(value, str | float):
        return value
    if isinstance(value, int):
        return int(value)
    raise BadMutation(
        f"JSONPath valueExpression evaluated to a type that could not marshal to JSON: {type(value).__name__}"
    )
