"""POST: a new object, admitted, named, validated, written where nothing was."""

from __future__ import annotations

from typing import Any

from control_plane.api import errors
from control_plane.api.copying import copied
from control_plane.apiserver import conversion, hooks, rules
from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, lifecycle, managers, respond, write
from control_plane.apiserver.handlers.options import WriteOptions, write_options
from control_plane.apiserver.messages import Response
from control_plane.apiserver.storage.objects import AlsoFailed, Changed

MAX_NAME_ATTEMPTS = 8
MAX_ALSO_ATTEMPTS = 16

Object = dict[str, Any]


async def create(ctx: Context) -> Response:
    options = write_options(ctx.request, "CreateOptions")
    respond.target_of(ctx)
    obj = await body.read_object(ctx, ctx.resource.gvk, options.field_validation)
    write.check_namespace(ctx, obj)
    if obj["metadata"].get("resourceVersion"):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")
    stored = await create_object(ctx, obj, options)
    return respond.stored_object(ctx, stored, 201)


async def create_object(ctx: Context, obj: Object, options: WriteOptions) -> Object:
    """Carry a decoded object of the request's version to the store; the object as it is stored."""
    rules.default(ctx.resource, obj)
    managers.record_create(ctx, obj, options)
    obj = write.to_storage_version(ctx, obj)
    metadata = obj["metadata"]
    request = write.admission_request(
        ctx, Operation.CREATE, obj, None, options.dry_run, _options_object(options), metadata.get("name", "")
    )
    await ctx.core.admission.mutate(request)
    lifecycle.begin(obj, ctx.core.new_uid(), ctx.core.clock())
    base = metadata.get("generateName", "") if not metadata.get("name") else ""
    if base:
        metadata["name"] = lifecycle.generated_name(base)
        rules.default(ctx.stored_resource, obj)  # what follows from the name
    rules.prepare_for_create(ctx.stored_resource, obj, ctx.user)  # a job selects by its uid
    request.name = metadata.get("name", "")
    rules.check(ctx, rules.validate_create(ctx, obj), metadata.get("name", ""))
    for warning in rules.warnings(ctx, obj):
        ctx.warn(warning)
    await ctx.core.admission.validate(request)
    return await _insert(ctx, obj, base, options.dry_run)


async def _insert(ctx: Context, obj: Object, base: str, dry_run: bool) -> Object:
    """Write it; a generated name that is taken is drawn again, an address that is taken is chosen again."""
    core, metadata = ctx.core, obj["metadata"]
    prepare = hooks.on_create(ctx.resource)
    names = 1
    for _ in range(MAX_ALSO_ATTEMPTS):
        attempt = copied(obj) if prepare else obj  # each try chooses anew
        also = await prepare(core, attempt) if prepare else None
        try:
            if dry_run:
                await _check_absent(ctx, metadata["name"])
                return attempt
            stored = await conversion.storable(ctx.resource, attempt)
            revision = await core.objects.create(ctx.resource, ctx.namespace, metadata["name"], stored, also)
        except Changed as error:
            if not base:
                raise _exists(ctx, metadata["name"], error) from error
            if names == MAX_NAME_ATTEMPTS:
                resource = ctx.resource
                raise errors.generate_name_conflict(
                    resource.group, resource.resource, metadata["name"]
                ) from error
            names += 1
            metadata["name"] = lifecycle.generated_name(base)
        except AlsoFailed:
            await core.freshness.caught_up()
        else:
            attempt["metadata"]["resourceVersion"] = str(revision)
            return attempt
    raise errors.server_timeout(ctx.resource.group, ctx.resource.resource, "create")


async def _check_absent(ctx: Context, name: str) -> None:
    found = await ctx.core.objects.read(ctx.resource, ctx.namespace, name)
    if found is not None:
        raise Changed(found)


def _exists(ctx: Context, name: str, changed: Changed) -> errors.StatusError:
    error = errors.already_exists(ctx.resource.group, ctx.resource.resource, name)
    current = changed.current
    if current is not None and current.object["metadata"].get("deletionTimestamp"):
        error.message = f"object is being deleted: {error.message}"
    return error


def _options_object(options: WriteOptions) -> Object:
    found: Object = {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
    if options.dry_run:
        found["dryRun"] = ["All"]
    if options.field_manager:
        found["fieldManager"] = options.field_manager
    return found
