"""Who manages which fields after a write that was no apply: the client's `fieldManager`, or its User-Agent."""

from __future__ import annotations

from typing import Any

from control_plane.api import meta
from control_plane.apiserver import patch_schema
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers.options import WriteOptions
from control_plane.apiserver.patch import apply as server_side
from control_plane.apiserver.patch.dispatch import APPLY_YAML

MAX_MANAGER_CHARS = 128

Object = dict[str, Any]


def is_apply(ctx: Context) -> bool:
    return ctx.request.method == "PATCH" and ctx.request.content_type() == APPLY_YAML


def record_create(ctx: Context, new: Object, options: WriteOptions) -> None:
    """Give a new object, as it will be stored, its managedFields, unless it is applied."""
    if is_apply(ctx):
        return
    reset = "status" if "status" in ctx.resource.subresources else ""
    node = patch_schema.node_of(ctx.stored_resource)
    server_side.track_create(new, node, _manager(ctx, options), _now(ctx), reset)


def record(ctx: Context, new: Object, old: Object, options: WriteOptions) -> None:
    """Bring the managedFields of `new` up to date after a write that was no apply. Both are as they are
    stored."""
    if is_apply(ctx):
        return
    node = patch_schema.node_of(ctx.stored_resource)
    server_side.track(old, new, node, _manager(ctx, options), _now(ctx), ctx.info.subresource)


def _manager(ctx: Context, options: WriteOptions) -> str:
    return options.field_manager or _from_user_agent(ctx)


def _now(ctx: Context) -> str:
    return meta.rfc3339(ctx.core.clock())


def _from_user_agent(ctx: Context) -> str:
    """`kubectl/v1.33.0 (linux/amd64) …` manages as `kubectl`."""
    agent = str(ctx.request.headers.get("User-Agent", ""))
    name = agent.partition("/")[0][:MAX_MANAGER_CHARS]
    return "".join(each for each in name if each.isprintable()) or "unknown"
