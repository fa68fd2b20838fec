"""JSON patch (RFC 6902) with the liberties that kube-apiserver takes.

kube-apiserver applies patches with evanphx/json-patch v4, and clients rely on how it departs from the RFC:

- `replace` of a missing object member adds it (`kubectl rollout undo` replaces /metadata/annotations, which
  may not be there);
- a negative index counts from the end of the array;
- `test` with no value, or null, passes for a missing member.

This is why no library does it here: the common Python one follows the RFC. The document is never changed: the
operations work on a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_plane.api.copying import copied
from control_plane.apiserver.patch.errors import MalformedPatch, PatchDoesNotApply, PatchTooLarge
from control_plane.apiserver.patch.values import same

MAX_OPERATIONS = 10_000  # kube-apiserver's limit
MAX_COPIED_NODES = (
    1_000_000  # what all `copy` operations together may add, or a short patch could fill memory
)

Container = dict[str, Any] | list[Any]
Operation = dict[str, Any]


def apply_json_patch(document: Any, patch: Any) -> Any:
    """The document after all operations in order; raises PatchDoesNotApply at the first that fails."""
    if not isinstance(patch, list):
        raise MalformedPatch("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(patch) > MAX_OPERATIONS:
        raise PatchTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )
    state = _State(copied(document))
    for operation in patch:
        if not isinstance(operation, dict):
            raise MalformedPatch("json: cannot unmarshal value into Go value of type jsonpatch.Operation")
        kind = operation.get("op")
        apply = _OPERATIONS.get(kind) if isinstance(kind, str) else None
        if apply is None:
            raise PatchDoesNotApply(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
        apply(state, operation)
    return state.document


class _State:
    def __init__(self, document: Any) -> None:
        self.document = document
        self.copied_nodes = 0


def _add(state: _State, operation: Operation) -> None:
    path = _text(operation, "path", "add")
    container, key = _locate(state.document, path)
    if container is None:
        raise PatchDoesNotApply(f'add operation does not apply: doc is missing path: "{path}": missing value')
    _insert(container, key, operation.get("value"), f"error in add for path: '{path}'")


def _remove(state: _State, operation: Operation) -> None:
    path = _text(operation, "path", "remove")
    container, key = _locate(state.document, path)
    if container is None:
        raise PatchDoesNotApply(
            f'remove operation does not apply: doc is missing path: "{path}": missing value'
        )
    _delete(container, key, f"error in remove for path: '{path}'")


def _replace(state: _State, operation: Operation) -> None:
    path = _text(operation, "path", "replace")
    value = operation.get("value")
    if path == "":
        if not isinstance(value, dict | list):
            raise PatchDoesNotApply("replace operation value must be object or array")
        state.document = value
        return
    container, key = _locate(state.document, path)
    if container is None:
        raise PatchDoesNotApply(
            f"replace operation does not apply: doc is missing path: {path}: missing value"
        )
    if isinstance(container, dict):
        container[key] = value
        return
    index = _index(container, key, len(container))
    if index is None:
        raise PatchDoesNotApply(
            f"replace operation does not apply: doc is missing key: {path}: missing value"
        )
    container[index] = value


def _move(state: _State, operation: Operation) -> None:
    source = _text(operation, "from", "move")
    container, key = _locate(state.document, source)
    if container is None:
        raise PatchDoesNotApply(
            f"move operation does not apply: doc is missing from path: {source}: missing value"
        )
    where = f"error in move for path: '{key}'"
    value = _get(container, key, where)
    _delete(container, key, where)
    path = _text(operation, "path", "move")
    container, key = _locate(state.document, path)
    if container is None:
        raise PatchDoesNotApply(
            f"move operation does not apply: doc is missing destination path: {path}: missing value"
        )
    _insert(container, key, value, f"error in move for path: '{path}'")


def _copy(state: _State, operation: Operation) -> None:
    source = _text(operation, "from", "copy")
    container, key = _locate(state.document, source)
    if container is None:
        raise PatchDoesNotApply(
            f"copy operation does not apply: doc is missing from path: {source}: missing value"
        )
    value = _get(container, key, f"error in copy for from: '{source}'")
    path = _text(operation, "path", "copy")
    container, key = _locate(state.document, path)
    if container is None:
        raise PatchDoesNotApply(
            f"copy operation does not apply: doc is missing destination path: {path}: missing value"
        )
    state.copied_nodes += _size(value)
    if state.copied_nodes > MAX_COPIED_NODES:
        raise PatchTooLarge(
            f"Unable to complete the copy, the accumulated size increase of copy is {state.copied_nodes}, "
            f"exceeding the limit {MAX_COPIED_NODES}"
        )
    _insert(container, key, copied(value), "error while adding value during copy")


def _test(state: _State, operation: Operation) -> None:
    path = _text(operation, "path", "test")
    wanted = operation.get("value")
    if path == "":
        present = state.document
    else:
        container, key = _locate(state.document, path)
        if container is None:
            raise PatchDoesNotApply(f"test operation does not apply: is missing path: {path}: missing value")
        present = _get(container, key, f"error in test for path: '{path}'")
    if not same(present, wanted):
        raise PatchDoesNotApply(f"testing value {path} failed: test failed")


_OPERATIONS: dict[str, Callable[[_State, Operation], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _text(operation: Operation, name: str, kind: str) -> str:
    value = operation.get(name)
    if not isinstance(value, str):
        raise PatchDoesNotApply(f"{kind} operation failed to decode {name}: missing value")
    return value


def _locate(document: Any, path: str) -> tuple[Container | None, str]:
    """The container that holds the last token of the path, and that token; None when there is no such
    container."""
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")]
    if len(tokens) < 2:
        return None, ""
    node = document
    for token in tokens[1:-1]:
        if isinstance(node, dict):
            node = node.get(token)
        elif isinstance(node, list):
            index = _index(node, token, len(node))
            node = None if index is None else node[index]
        else:
            return None, ""
    return (node if isinstance(node, dict | list) else None), tokens[-1]


def _index(items: list[Any], token: str, end: int) -> int | None:
    """The position that the token names, or None; `end` is one past the greatest that is allowed."""
    digits = token[1:] if token[:1] in ("-", "+") else token
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        return None
    index = int(token)
    if index < 0:
        index += end
    return index if 0 <= index < end else None


def _get(container: Container, key: str, where: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    return container[_must_index(container, key, len(container), where)]


def _insert(container: Container, key: str, value: Any, where: str) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        container.insert(_must_index(container, key, len(container) + 1, where), value)


def _delete(container: Container, key: str, where: str) -> None:
    if isinstance(container, list):
        del container[_must_index(container, key, len(container), where)]
    elif key in container:
        del container[key]
    else:
        raise PatchDoesNotApply(f"{where}: Unable to remove nonexistent key: {key}: missing value")


def _must_index(items: list[Any], key: str, end: int, where: str) -> int:
    index = _index(items, key, end)
    if index is None:
        raise PatchDoesNotApply(f"{where}: Unable to access invalid index: {key}: invalid index referenced")
    return index


def _size(value: Any) -> int:
    """How many JSON nodes a value has."""
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1
