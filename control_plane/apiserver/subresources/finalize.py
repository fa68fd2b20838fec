"""`namespaces/finalize`: the only way to change `spec.finalizers`; when the last is gone, so is the namespace."""

from __future__ import annotations

from typing import Any

from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, respond
from control_plane.apiserver.handlers import update as updating
from control_plane.apiserver.handlers.options import write_options
from control_plane.apiserver.messages import Response


async def update(ctx: Context) -> Response:
    options = write_options(ctx.request, "UpdateOptions")
    obj = await body.read_object(ctx, ctx.resource.gvk, options.field_validation)
    updating.check_name(ctx, obj)
    outcome = await updating.replace(ctx, obj, options, _finalizers_only)
    return respond.stored_object(ctx, outcome.object)


def _finalizers_only(new: dict[str, Any], old: dict[str, Any]) -> None:
    finalizers = (new.get("spec") or {}).get("finalizers")
    version = new["metadata"].get("resourceVersion")
    new["metadata"] = dict(old["metadata"])
    if version:
        new["metadata"]["resourceVersion"] = version
    new["spec"] = {**(old.get("spec") or {})}
    new["spec"].pop("finalizers", None)
    if finalizers:
        new["spec"]["finalizers"] = finalizers
    new["status"] = old.get("status") or {}
