"""From a PATCH request's body to the patched object: one function per content type, one mapping of errors.

Nothing here reads a clock, a store or a request: the caller re-runs it on the new object after a conflict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from control_plane.api import errors as api_errors
from control_plane.apiserver.patch.errors import MalformedPatch, PatchDoesNotApply, PatchError, PatchTooLarge
from control_plane.apiserver.patch.json_patch import apply_json_patch
from control_plane.apiserver.patch.merge_patch import apply_merge_patch
from control_plane.apiserver.patch.meta import PatchSchema
from control_plane.apiserver.patch.strategic import apply_strategic_merge_patch

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_YAML = "application/apply-patch+yaml"

Object = dict[str, Any]


def media_type(content_type: str) -> str:
    """The type without its parameters (`; charset=utf-8`)."""
    return content_type.partition(";")[0].strip()


def apply_patch(content_type: str, body: bytes, current: Object, schema: PatchSchema | None) -> Object:
    """The current object with the patch applied; `current` stays as it was, and the result shares nothing
    with it.

    `schema` is the object's, or None for a custom resource, which takes no strategic merge patch. Raises
    StatusError: 415 for a type that is not served, 400 for a malformed patch, 422 for one that does not
    apply.
    """
    kind = media_type(content_type)
    functions = _FUNCTIONS if schema is not None else _FUNCTIONS_WITHOUT_SCHEMA
    apply = functions.get(kind)
    if apply is None:
        raise api_errors.unsupported_media_type([*functions, APPLY_YAML])
    try:
        patched = apply(current, _parse(body), schema)
    except PatchError as error:
        raise _status(error) from error
    except RecursionError as error:
        raise api_errors.bad_request("invalid JSON patch: exceeded max depth") from error
    if not isinstance(patched, dict):
        raise _status(PatchDoesNotApply("the patched document is not an object"))
    unshared: Object = orjson.loads(orjson.dumps(patched))  # callers go on to change it
    return unshared


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedPatch("invalid JSON patch") from error


def _json(current: Object, patch: Any, _: PatchSchema | None) -> Any:
    return apply_json_patch(current, patch)


def _merge(current: Object, patch: Any, _: PatchSchema | None) -> Any:
    if not isinstance(patch, dict):
        raise MalformedPatch("Invalid JSON Patch")
    return apply_merge_patch(current, patch)


def _strategic(current: Object, patch: Any, schema: PatchSchema | None) -> Any:
    if not isinstance(patch, dict):
        raise MalformedPatch("invalid JSON document")
    return apply_strategic_merge_patch(current, patch, schema)


_Apply = Callable[[Object, Any, PatchSchema | None], Any]

_FUNCTIONS: dict[str, _Apply] = {
    JSON_PATCH: _json,
    MERGE_PATCH: _merge,
    STRATEGIC_MERGE_PATCH: _strategic,
}
_FUNCTIONS_WITHOUT_SCHEMA: dict[str, _Apply] = {JSON_PATCH: _json, MERGE_PATCH: _merge}


def _status(error: PatchError) -> api_errors.StatusError:
    if isinstance(error, PatchTooLarge):
        return api_errors.StatusError(413, "RequestEntityTooLarge", str(error))
    if isinstance(error, PatchDoesNotApply):
        # kube-apiserver does not tell the client which operation failed; its words are kept.
        return api_errors.StatusError(
            422, "Invalid", "the server rejected our request due to an error in our request", details={}
        )
    return api_errors.bad_request(str(error))
