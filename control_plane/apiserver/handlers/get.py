"""GET of one object: as new as the client asked for, from the cache whenever it is.

resourceVersion unset: nothing older than the moment of the request; 0: whatever the cache has; N: not older
than N.
"""

from __future__ import annotations

from control_plane.api import errors
from control_plane.apiserver import conversion
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import respond
from control_plane.apiserver.handlers.options import parse_resource_version
from control_plane.apiserver.messages import Response
from control_plane.apiserver.storage import codec, keys


async def get(ctx: Context) -> Response:
    respond.target_of(ctx)  # 406 before any work
    return respond.raw_object(ctx, await read_raw(ctx, ctx.request.first("resourceVersion")))


async def read_raw(ctx: Context, resource_version: str = "") -> bytes:
    """The object's JSON in the storage version. Raises StatusError NotFound."""
    core, info = ctx.core, ctx.info
    if resource_version:
        wanted = parse_resource_version(resource_version)
        if wanted:
            await core.freshness.not_older_than(wanted)
    elif not await core.freshness.caught_up():
        stored = await core.objects.read(ctx.resource, ctx.namespace, info.name)
        if stored is None:
            raise not_found(ctx)
        stored = await conversion.working(ctx.resource, stored)
        return codec.encode_with_revision(stored.object, stored.revision)
    entry = ctx.cache.get(keys.item(ctx.namespace, info.name))
    if entry is None:
        raise not_found(ctx)
    return (await conversion.working_bytes(ctx.resource, [entry.raw]))[0]


def not_found(ctx: Context) -> errors.StatusError:
    return errors.not_found(ctx.resource.group, ctx.resource.resource, ctx.info.name)
