"""`scale`: the number of replicas of a workload, as an autoscaling/v1 Scale, whatever the workload is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from control_plane.api import errors, meta, schema, strategy
from control_plane.api.registry import Resource
from control_plane.apiserver import patch_schema
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import apply as server_side
from control_plane.apiserver.handlers import body, respond, write
from control_plane.apiserver.handlers import update as updating
from control_plane.apiserver.handlers.get import read_raw
from control_plane.apiserver.handlers.managers import is_apply
from control_plane.apiserver.handlers.options import WriteOptions, write_options
from control_plane.apiserver.messages import Response
from control_plane.apiserver.patch.apply import apply as apply_configuration
from control_plane.apiserver.patch.apply import scale as scaling
from control_plane.apiserver.patch.apply import trees
from control_plane.apiserver.patch.dispatch import apply_patch
from control_plane.apiserver.storage import codec
from control_plane.apiserver.storage.objects import Stored

SCALE_GVK = ("autoscaling", "v1", "Scale")

Object = dict[str, Any]


def to_scale(resource: Resource, obj: Object) -> Object:
    """Raises StatusError."""
    custom = resource.custom_kind
    return custom.scale_of(obj) if custom is not None else strategy.to_scale(resource, obj)


def from_scale(resource: Resource, obj: Object, scale: Object) -> Object:
    """The object with the replicas of the Scale. Raises StatusError."""
    custom = resource.custom_kind
    return custom.scaled(obj, scale) if custom is not None else strategy.from_scale(resource, obj, scale)


async def get(ctx: Context) -> Response:
    return respond.plain_object(ctx, to_scale(ctx.resource, codec.decode(await read_raw(ctx))))


async def update(ctx: Context) -> Response:
    options = write_options(ctx.request, "UpdateOptions")
    given = await body.read_object(ctx, SCALE_GVK, options.field_validation)
    write.check_identity(ctx, given)

    async def change(current: Stored) -> write.Plan:
        return await _rescale(ctx, given, current, options)

    outcome = await write.guaranteed_update(ctx, change, options.dry_run)
    return respond.plain_object(ctx, to_scale(ctx.resource, outcome.object))


async def patch(ctx: Context) -> Response:
    options = write_options(ctx.request, "PatchOptions")
    patch_body = await body.read_body(ctx)
    if is_apply(ctx):
        return await _apply(ctx, patch_body, options)

    async def change(current: Stored) -> write.Plan:
        before = to_scale(ctx.resource, current.object)
        given = apply_patch(ctx.request.content_type(), patch_body, before, patch_schema.of_kind(SCALE_GVK))
        body.fill_kind(given, SCALE_GVK)
        given = body.checked(ctx, given, SCALE_GVK, options.field_validation, [])
        return await _rescale(ctx, given, current, options)

    outcome = await write.guaranteed_update(ctx, change, options.dry_run)
    return respond.plain_object(ctx, to_scale(ctx.resource, outcome.object))


async def _apply(ctx: Context, patch_body: bytes, options: WriteOptions) -> Response:
    config = server_side.read(patch_body, SCALE_GVK)
    server_side.check_manager(options)
    write.check_identity(ctx, {"metadata": {**config.get("metadata", {})}})
    config = body.checked(ctx, config, SCALE_GVK, options.field_validation, [])

    async def change(current: Stored) -> write.Plan:
        obj = current.object
        replicas, entries = _replicas_of(ctx.resource, obj), obj["metadata"].get("managedFields") or []
        live = to_scale(ctx.resource, obj)
        live["metadata"]["managedFields"] = scaling.shown(entries, replicas)
        applied = await apply_configuration(
            live,
            config,
            schema.lookup(*SCALE_GVK),
            options.field_manager,
            options.force,
            meta.rfc3339(ctx.core.clock()),
            scaling.SUBRESOURCE,
            reset=frozenset({("f:status",)}),
        )
        owners = applied["metadata"].get("managedFields") or []
        managed = scaling.carried_over(entries, owners, replicas, obj["apiVersion"])
        return await _rescale(ctx, applied, current, options, managed)

    outcome = await write.guaranteed_update(ctx, change, options.dry_run)
    return respond.plain_object(ctx, to_scale(ctx.resource, outcome.object))


def _replicas_of(resource: Resource, obj: Object) -> trees.Tree:
    """Where the object has its replicas, as a set of fields: what another number changes."""
    other = {"spec": {"replicas": to_scale(resource, obj)["spec"].get("replicas", 0) + 1}}
    return trees.difference(obj, from_scale(resource, obj, other), patch_schema.node_of(resource))[0]


async def _rescale(
    ctx: Context, scale: Object, current: Stored, options: WriteOptions, managed: list[Object] | None = None
) -> write.Plan:
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        why = "must be greater than or equal to 0"
        problem = errors.invalid_value("spec.replicas", replicas, why)
        raise errors.invalid("autoscaling", "Scale", ctx.info.name, [problem])
    new = deepcopy(from_scale(ctx.resource, current.object, scale))
    if uid := (scale.get("metadata") or {}).get("uid"):
        new["metadata"]["uid"] = uid
    if managed is not None:
        new["metadata"]["managedFields"] = managed
    return await updating.plan(ctx, new, current, options)
