"""Who manages which fields after a write that was no apply: the client's `fieldManager`, or its User-Agent."""

from __future__ import annotations

from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError
from control_plane.apiserver import conversion, patch_schema
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers.options import WriteOptions
from control_plane.apiserver.patch import apply as server_side
from control_plane.apiserver.patch.dispatch import APPLY_YAML

MAX_MANAGER_CHARS = 128

Object = dict[str, Any]


def is_apply(ctx: Context) -> bool:
    return ctx.request.method == "PATCH" and ctx.request.content_type() == APPLY_YAML


def record_create(ctx: Context, new: Object, options: WriteOptions) -> None:
    """Give a new object, of the version of the request, its managedFields, unless it is applied."""
    if is_apply(ctx):
        return
    reset = "status" if "status" in ctx.resource.subresources else ""
    node = patch_schema.node_of(ctx.resource)
    server_side.track_create(new, node, _manager(ctx, options), _now(ctx), reset)


async def record(ctx: Context, new: Object, old: Object, options: WriteOptions) -> None:
    """Bring the managedFields of `new` up to date after a write that was no apply. Both are as they are
    stored; what the client changed is said in the words of its version."""
    if is_apply(ctx):
        return
    resource = ctx.resource
    before, after = (conversion.to_version(each, resource) for each in (old, new))
    show = conversion.shows(ctx.core.registry, resource)
    try:
        await server_side.track(
            before,
            after,
            patch_schema.node_of(resource),
            _manager(ctx, options),
            _now(ctx),
            ctx.info.subresource,
            show,
            resource.custom,
        )
    except StatusError:  # no answer, or none of use, from a conversion webhook
        after["metadata"].pop("managedFields", None)
    _carry_over(after["metadata"], new["metadata"])


def _carry_over(metadata: Object, to: Object) -> None:
    managed = metadata.get("managedFields")
    if managed is not None:
        to["managedFields"] = managed
    else:
        to.pop("managedFields", None)


def _manager(ctx: Context, options: WriteOptions) -> str:
    return options.field_manager or _from_user_agent(ctx)


def _now(ctx: Context) -> str:
    return meta.rfc3339(ctx.core.clock())


def _from_user_agent(ctx: Context) -> str:
    """`kubectl/v1.33.0 (linux/amd64) …` manages as `kubectl`."""
    agent = str(ctx.request.headers.get("User-Agent", ""))
    name = agent.partition("/")[0][:MAX_MANAGER_CHARS]
    return "".join(each for each in name if each.isprintable()) or "unknown"
