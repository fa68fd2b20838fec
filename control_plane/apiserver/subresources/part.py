"""Subresources that are a part of the object: status, approval, ephemeralcontainers, resize.

They are read, replaced and patched like the object; what they may change is the strategy's to say, which knows
the subresource by its name.
"""

from __future__ import annotations

from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, respond
from control_plane.apiserver.handlers import patch as patching
from control_plane.apiserver.handlers import update as updating
from control_plane.apiserver.handlers.get import get as get_object
from control_plane.apiserver.handlers.options import write_options
from control_plane.apiserver.messages import Response


async def get(ctx: Context) -> Response:
    return await get_object(ctx)


async def update(ctx: Context) -> Response:
    options = write_options(ctx.request, "UpdateOptions")
    respond.target_of(ctx)
    obj = await body.read_object(ctx, ctx.resource.gvk, options.field_validation)
    updating.check_name(ctx, obj)
    outcome = await updating.replace(ctx, obj, options)
    return respond.stored_object(ctx, outcome.object)


async def patch(ctx: Context) -> Response:
    return await patching.patch(ctx)
