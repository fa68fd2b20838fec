"""Strategic merge patch: merge patch that knows what the lists of the Kubernetes API mean.

A patch may hold, besides fields:

- `$patch: replace | delete | merge` in a map: take the patch as it is, empty the map, or (the default) merge;
  in an element of a keyed list: replace the whole list, or delete the elements with that key;
- `$retainKeys: [names]`: every other field of the map is dropped (unions such as a Deployment's strategy);
- `$setElementOrder/<list>: [...]`: the order of the result, items that only the server has staying near their
  neighbours;
- `$deleteFromPrimitiveList/<list>: [...]`: values to remove from a list of primitives.

The rules are those of k8s.io/apimachinery's strategicpatch, for a patch applied to a live object (parallel
lists are merged, nulls that match nothing are dropped). Nothing is changed in place: the result shares with
its inputs what the patch does not touch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from control_plane.apiserver.patch import strategic_lists as lists
from control_plane.apiserver.patch.errors import MalformedPatch
from control_plane.apiserver.patch.meta import MERGE, REPLACE, FieldMeta, PatchSchema
from control_plane.apiserver.patch.values import contains, type_name

Map = dict[str, Any]

DIRECTIVE = "$patch"
DELETE = "delete"
RETAIN_KEYS_DIRECTIVE = "$retainKeys"
SET_ELEMENT_ORDER_PREFIX = "$setElementOrder"
DELETE_FROM_PRIMITIVE_LIST_PREFIX = "$deleteFromPrimitiveList"

_LIST_DIRECTIVES = (SET_ELEMENT_ORDER_PREFIX + "/", DELETE_FROM_PRIMITIVE_LIST_PREFIX + "/")

BAD_RETAIN_KEYS = "invalid patch format of retainKeys"
BAD_ELEMENT_ORDER = "invalid patch format of setElementOrder list"
BAD_PRIMITIVE_LIST = "invalid patch format of primitive list"

_UNKNOWN = FieldMeta()
_ABSENT = object()  # removing a directive leaves nothing, which is not null


def apply_strategic_merge_patch(original: Map, patch: Map, schema: PatchSchema | None) -> Map:
    """The original with the patch merged into it, lists by their strategy in the schema."""
    return merge_map(original, patch, schema)


def merge_map(original: Map, patch: Map, schema: PatchSchema | None) -> Map:
    if DIRECTIVE in patch and patch[DIRECTIVE] != MERGE:
        return _directed(patch)
    patch = {key: value for key, value in patch.items() if key != DIRECTIVE}
    result = _retain_keys(original, patch)
    patch.pop(RETAIN_KEYS_DIRECTIVE, None)
    _merge_ordered_lists(result, patch, schema)
    for key, value in patch.items():
        if key.startswith(DELETE_FROM_PRIMITIVE_LIST_PREFIX):
            _delete_values(result, _directive_target(key, BAD_PRIMITIVE_LIST), value)
        elif value is None:
            result.pop(key, None)
        else:
            _merge_field(result, key, value, schema)
    return result


def _directed(patch: Map) -> Map:
    directive = patch[DIRECTIVE]
    if directive == REPLACE:
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if directive == DELETE:
        return {}
    raise MalformedPatch(f"unknown patch type: {directive} in map: {patch}")


def _merge_field(result: Map, key: str, value: Any, schema: PatchSchema | None) -> None:
    present = result.get(key)
    if isinstance(present, dict) and isinstance(value, dict):
        meta = _field(schema, key)
        result[key] = value if meta.strategy == REPLACE else merge_map(present, value, meta.schema)
    elif isinstance(present, list) and isinstance(value, list):
        result[key] = _merge_list(present, value, _field(schema, key))
    else:
        _set_cleaned(result, key, value)


def _merge_list(original: list[Any], patch: list[Any], meta: FieldMeta) -> list[Any]:
    """By the field's strategy: merged by key (or as a set of primitives), else replaced."""
    if meta.strategy != MERGE:
        return patch
    if not original and not patch:
        return original
    if not lists.are_maps(original, patch):
        merged = lists.merge_primitives(original, patch)
        return lists.in_order(merged, patch, original, "")
    if not meta.merge_key:
        raise MalformedPatch("cannot merge lists without merge key for struct")
    original, patch = _split_list_directives(original, patch, meta.merge_key)
    merged = _merge_keyed(original, patch, meta)
    return lists.in_order(merged, patch, original, meta.merge_key)


def _split_list_directives(
    original: list[Any], patch: list[Any], merge_key: str
) -> tuple[list[Any], list[Any]]:
    """Carries out the `$patch` elements; returns what is left of both lists."""
    plain: list[Any] = []
    replace = False
    for element in patch:
        directive = element.get(DIRECTIVE)
        if DIRECTIVE not in element:
            plain.append(element)
        elif directive == DELETE:
            value = lists.key_of(element, merge_key)
            original = [item for item in original if not lists.has_key(item, merge_key, value)]
        elif directive == REPLACE:
            replace = True
        elif directive == MERGE:
            raise MalformedPatch("merging lists cannot yet be specified in the patch")
        else:
            raise MalformedPatch(f"unknown patch type: {directive} in map: {element}")
    return (plain, []) if replace else (original, plain)


def _merge_keyed(original: list[Any], patch: list[Any], meta: FieldMeta) -> list[Any]:
    """Elements with the same key are merged, others appended. The first match wins, as in Kubernetes:
    strategic merge with one key cannot tell two Service ports 53/TCP and 53/UDP apart."""
    merged = list(original)
    for element in patch:
        value = lists.key_of(element, meta.merge_key)
        position = lists.find(merged, meta.merge_key, value)
        if position is None:
            cleaned = _cleaned(element)
            merged.append({} if cleaned is _ABSENT else cleaned)
        else:
            merged[position] = merge_map(merged[position], element, meta.schema)
    return merged


def _merge_ordered_lists(result: Map, patch: Map, schema: PatchSchema | None) -> None:
    """Merges every list that has a `$setElementOrder`, and takes both out of the patch."""
    for directive in [key for key in patch if key.startswith(SET_ELEMENT_ORDER_PREFIX)]:
        order = patch.pop(directive)
        key = _directive_target(directive, BAD_ELEMENT_ORDER)
        if (key in patch and patch[key] is None) or (key not in patch and result.get(key) is None):
            continue  # null deletes the list, which the ordinary merge does; an order of nothing is nothing
        original, patched = result.get(key) or [], patch.pop(key, [])
        for value in (order, original, patched):
            if not isinstance(value, list):
                raise MalformedPatch(f"expected a array, but received a {type_name(value)}")
        result[key] = _merge_in_order(original, patched, order, _field(schema, key))


def _merge_in_order(original: list[Any], patch: list[Any], order: list[Any], meta: FieldMeta) -> list[Any]:
    lists.check_order(patch, order, meta.merge_key)
    if not patch:
        merged = original
    elif not original:
        merged = _cleaned(patch)
    else:
        merged = _merge_list(original, patch, meta)
    server_order = lists.places_after_deletion(original, patch, meta.merge_key)
    return lists.in_order(merged, order, server_order, meta.merge_key)


def _retain_keys(original: Map, patch: Map) -> Map:
    """A copy of the original, without the fields that a `$retainKeys` of the patch does not name."""
    if RETAIN_KEYS_DIRECTIVE not in patch:
        return dict(original)
    retained = patch[RETAIN_KEYS_DIRECTIVE]
    if not isinstance(retained, list):
        raise MalformedPatch(BAD_RETAIN_KEYS)
    for key, value in patch.items():
        if value is None or key.startswith("$"):
            continue
        if not contains(retained, key):
            raise MalformedPatch(BAD_RETAIN_KEYS)
    return {key: value for key, value in original.items() if contains(retained, key)}


def _delete_values(result: Map, key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise MalformedPatch(BAD_PRIMITIVE_LIST)
    present = result.get(key)
    if isinstance(present, list):
        result[key] = [item for item in present if not contains(values, item)]


def _directive_target(directive: str, malformed: str) -> str:
    prefix, slash, target = directive.partition("/")
    if not slash or prefix not in (SET_ELEMENT_ORDER_PREFIX, DELETE_FROM_PRIMITIVE_LIST_PREFIX):
        raise MalformedPatch(malformed)
    return target


def _field(schema: PatchSchema | None, key: str) -> FieldMeta:
    return (schema.field(key) if schema is not None else None) or _UNKNOWN


def _set_cleaned(result: Map, key: str, value: Any) -> None:
    cleaned = _cleaned(value)
    if cleaned is _ABSENT:
        result.pop(key, None)
    else:
        result[key] = cleaned


def _cleaned(value: Any) -> Any:
    """A new value as it is stored: without null members of objects, at any depth, since there is nothing for them
    to delete; maps that carry a directive vanish, there being nothing to direct it at."""
    if isinstance(value, dict):
        return _ABSENT if value.get(DIRECTIVE) is not None else dict(_cleaned_members(value))
    if isinstance(value, list):
        return [item for item in map(_cleaned, value) if item is not _ABSENT]
    return value


def _cleaned_members(value: Map) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, dict | list):
            item = _cleaned(item)
        if item is not None and item is not _ABSENT and not _is_directive(key):
            yield key, item


def _is_directive(key: str) -> bool:
    return key.startswith("$") and (key == RETAIN_KEYS_DIRECTIVE or key.startswith(_LIST_DIRECTIVES))
