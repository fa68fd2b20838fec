"""PATCH: the patch is applied to the object in the version of the request; the result goes the way of an update.

A patch names no resourceVersion as a rule, so a lost race is tried again on the winner's object.
"""

from __future__ import annotations

from typing import Any

import orjson

from control_plane.api import errors
from control_plane.api.body import parse_json
from control_plane.api.decode import DecodeError
from control_plane.api.errors import StatusError
from control_plane.apiserver import conversion, patch_schema, rules
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import apply as server_side
from control_plane.apiserver.handlers import body, respond, update, write
from control_plane.apiserver.handlers.managers import is_apply
from control_plane.apiserver.handlers.options import STRICT, WriteOptions, write_options
from control_plane.apiserver.handlers.update import Prepare
from control_plane.apiserver.messages import Response
from control_plane.apiserver.patch.dispatch import apply_patch
from control_plane.apiserver.storage.objects import Stored

Object = dict[str, Any]


async def patch(ctx: Context) -> Response:
    options = write_options(ctx.request, "PatchOptions")
    respond.target_of(ctx)
    patch_body = await body.read_body(ctx)
    try:
        outcome = await apply(ctx, patch_body, options)
    except StatusError as error:
        if not (is_apply(ctx) and server_side.is_absent(ctx, error)):
            raise
        return respond.stored_object(ctx, await server_side.create(ctx, patch_body, options), 201)
    return respond.stored_object(ctx, outcome.object)


async def apply(
    ctx: Context, patch_body: bytes, options: WriteOptions, prepare: Prepare | None = None
) -> write.Outcome:
    async def change(current: Stored) -> write.Plan:
        new = await patched(ctx, patch_body, current.object, options)
        return await update.plan(ctx, new, current, options, prepare)

    return await write.guaranteed_update(ctx, change, options.dry_run)


async def patched(ctx: Context, patch_body: bytes, stored: Object, options: WriteOptions) -> Object:
    """The patched object, in the storage version. Raises StatusError."""
    resource = ctx.resource
    served = conversion.to_version(stored, resource)
    if is_apply(ctx):
        result = await server_side.applied(ctx, patch_body, served, options)
        body.fill_kind(result, resource.gvk)
        result = body.checked(ctx, result, resource.gvk, options.field_validation, [])
    else:
        content_type = ctx.request.content_type()
        result = apply_patch(content_type, patch_body, served, patch_schema.of_resource(resource))
        body.fill_kind(result, resource.gvk)
        result = _checked(ctx, result, served, patch_body, options)
    write.check_identity(ctx, result)
    rules.default(resource, result)
    return write.to_storage_version(ctx, result)


def _checked(
    ctx: Context, result: Object, served: Object, patch_body: bytes, options: WriteOptions
) -> Object:
    """The patched object by its schema. Raises StatusError Invalid, in the words kept for patches."""
    _, problems = parse_json(patch_body)  # for its duplicate fields; it has been parsed before
    untouched = _untouched(ctx, result, served)
    try:
        found, unknown = body.normalized(
            ctx, {key: value for key, value in result.items() if key not in untouched}, ctx.resource.gvk
        )
    except DecodeError as error:
        raise _invalid(result, str(error)) from error
    found.update(untouched)
    problems = [*problems, *unknown]
    if problems and options.field_validation == STRICT:
        raise _invalid(result, "strict decoding error: " + ", ".join(problems))
    body.warn_of(ctx, problems, options.field_validation)
    return found


def _untouched(ctx: Context, result: Object, served: Object) -> Object:
    """What the patch has left as it was went by the schema when it was written: a new status is read without its
    spec. Only what is stored in this version is known to have."""
    if not ctx.resource.is_storage_version or ctx.resource.custom:
        return {}
    return {
        key: value
        for key, value in result.items()
        if key in served and orjson.dumps(value) == orjson.dumps(served[key])
    }


def _invalid(result: Object, why: str) -> StatusError:
    return errors.invalid("", "", "", [errors.invalid_value("patch", orjson.dumps(result).decode(), why)])
