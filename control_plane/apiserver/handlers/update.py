"""PUT, and what PATCH and the subresources share with it: a new version of an object replaces the old one.

The body's resourceVersion, when it has one, must be the stored one's. An update that takes the last finalizer of a
marked object removes it. A kind that allows it is created by a PUT to a name that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_plane.api import errors
from control_plane.api.copying import copied
from control_plane.api.errors import StatusError
from control_plane.apiserver import hooks, rules
from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, lifecycle, managers, respond, write
from control_plane.apiserver.handlers.create import create_object
from control_plane.apiserver.handlers.options import WriteOptions, write_options
from control_plane.apiserver.messages import Response
from control_plane.apiserver.storage.objects import Stored

Object = dict[str, Any]
Prepare = Callable[[Object, Object], None]


async def update(ctx: Context) -> Response:
    options = write_options(ctx.request, "UpdateOptions")
    respond.target_of(ctx)
    obj = await body.read_object(ctx, ctx.resource.gvk, options.field_validation)
    check_name(ctx, obj)
    try:
        outcome = await replace(ctx, obj, options)
    except StatusError as error:
        if not _may_create(ctx, obj, error):
            raise
        return respond.stored_object(ctx, await create_object(ctx, obj, options), 201)
    return respond.stored_object(ctx, outcome.object)


def check_name(ctx: Context, obj: Object) -> None:
    """Raises StatusError BadRequest."""
    if not obj["metadata"].get("name"):
        raise errors.bad_request(
            f"the name of the object ({ctx.info.name} based on URL) was undeterminable: name must be provided"
        )
    write.check_identity(ctx, obj)


async def replace(
    ctx: Context, obj: Object, options: WriteOptions, prepare: Prepare | None = None
) -> write.Outcome:
    """Put `obj` (of the request's version) in the place of the stored object."""
    rules.default(ctx.resource, obj)
    new = write.to_storage_version(ctx, obj)

    async def change(current: Stored) -> write.Plan:
        return await plan(ctx, copied(new), current, options, prepare)

    return await write.guaranteed_update(ctx, change, options.dry_run)


async def plan(
    ctx: Context, new: Object, current: Stored, options: WriteOptions, prepare: Prepare | None = None
) -> write.Plan:
    """From the old object and the new one (both of the storage version) to what is written. Raises StatusError."""
    resource, old = ctx.resource, current.object
    _check_preconditions(ctx, new, current)
    options_object: Object = {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1"}
    if options.field_manager:
        options_object["fieldManager"] = options.field_manager
    request = write.admission_request(ctx, Operation.UPDATE, new, old, options.dry_run, options_object)
    lifecycle.carry_over(new, old)
    if prepare is not None:
        prepare(new, old)
    await ctx.core.admission.mutate(request)
    lifecycle.carry_over(new, old)
    rules.prepare_for_update(ctx, new, old)
    await managers.record(ctx, new, old, options)
    rules.check(ctx, rules.validate_update(ctx, new, old), ctx.info.name)
    for warning in rules.warnings(ctx, new, old):
        ctx.warn(warning)
    await ctx.core.admission.validate(request)
    settle = hooks.on_update(resource)
    also = await settle(ctx.core, new, old) if settle else None
    if lifecycle.may_be_removed(new):
        release = hooks.on_delete(resource)
        return write.Plan(new, remove=True, also=release(old) if release else None)
    return write.Plan(new, also=also)


def _check_preconditions(ctx: Context, new: Object, current: Stored) -> None:
    resource, name = ctx.resource, ctx.info.name
    metadata = new["metadata"]
    version = metadata.get("resourceVersion", "")
    if version and version != str(current.revision):
        raise errors.conflict(resource.group, resource.resource, name)
    uid, stored_uid = metadata.get("uid", ""), current.object["metadata"].get("uid", "")
    if uid and uid != stored_uid:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored_uid}"
        raise errors.conflict(resource.group, resource.resource, name, why)
    if not version and not rules.strategy(ctx).allow_unconditional_update:
        problem = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise errors.invalid(resource.group, resource.kind, name, [problem])


def _may_create(ctx: Context, obj: Object, error: StatusError) -> bool:
    if not errors.is_not_found(error) or ctx.info.subresource:
        return False
    if obj["metadata"].get("resourceVersion") or obj["metadata"].get("uid"):
        return False
    return rules.strategy(ctx).allow_create_on_update
