"""DELETE of one object, and of a collection.

An answer is the object itself where Kubernetes returns it (or where it stays, marked), else a Status that names it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from control_plane.api import errors
from control_plane.api.copying import copied
from control_plane.api.errors import StatusError
from control_plane.apiserver import conversion, hooks, rules
from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, lifecycle, respond, write
from control_plane.apiserver.handlers.list import list_kind, page_of, selection_of
from control_plane.apiserver.handlers.options import (
    DeleteOptions,
    check_list,
    delete_options,
    list_options,
)
from control_plane.apiserver.messages import Response
from control_plane.apiserver.storage import codec
from control_plane.apiserver.storage.objects import Stored

COLLECTION_WORKERS = 8

Object = dict[str, Any]

# Kinds whose deletion answers with the object, as kube-apiserver's do.
_RETURNED = frozenset(
    {
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
        "podtemplates",
        "resourcequotas",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "resourceclaims.resource.k8s.io",
    }
)


async def delete(ctx: Context) -> Response:
    respond.target_of(ctx)
    options = await read_options(ctx)
    outcome = await delete_object(ctx, options)
    if not outcome.removed:
        return respond.stored_object(ctx, outcome.object, 202 if options.explicitly_cascading else 200)
    if ctx.resource.group_resource in _RETURNED:
        return respond.stored_object(ctx, outcome.object)
    return respond.plain_object(ctx, _success(ctx, outcome.object))


async def read_options(ctx: Context) -> DeleteOptions:
    """Raises StatusError."""
    raw = await body.read_body(ctx)
    if not raw.strip():
        return delete_options(ctx.request, None)
    return delete_options(ctx.request, body.parse_delete_options(ctx, raw))


async def delete_object(ctx: Context, options: DeleteOptions, *, admitted: bool = False) -> write.Outcome:
    """`admitted`: nobody is asked, as when the server cleans up after a definition."""

    async def change(current: Stored) -> write.Plan:
        check_preconditions(ctx, current, options)
        if not admitted:
            await _admit(ctx, current, options)
        marked = copied(current.object)
        if mark := hooks.on_mark(ctx.resource):
            mark(marked, ctx.core.clock())
        decided = lifecycle.deletion(marked, rules.strategy(ctx), options, ctx.core.clock())
        if not decided.remove:
            return write.Plan(decided.object)
        release = hooks.on_delete(ctx.resource)
        return write.Plan(decided.object, remove=True, also=release(current.object) if release else None)

    return await write.guaranteed_update(ctx, change, options.dry_run)


async def _admit(ctx: Context, current: Stored, options: DeleteOptions) -> None:
    """Raises StatusError."""
    request = write.admission_request(
        ctx, Operation.DELETE, None, current.object, options.dry_run, options.as_object()
    )
    await ctx.core.admission.mutate(request)
    await ctx.core.admission.validate(request)


def check_preconditions(ctx: Context, current: Stored, options: DeleteOptions) -> None:
    resource, uid = ctx.resource, current.object["metadata"].get("uid", "")
    if options.uid and options.uid != uid:
        why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {uid}"
    elif options.resource_version and options.resource_version != str(current.revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {current.revision}"
        )
    else:
        return
    raise errors.conflict(resource.group, resource.resource, ctx.info.name, why)


def _success(ctx: Context, obj: Object) -> Object:
    resource = ctx.resource
    details = {"name": ctx.info.name, "group": resource.group, "kind": resource.resource}
    return errors.success({**details, "uid": obj["metadata"].get("uid", "")})


async def delete_collection(ctx: Context) -> Response:
    """Delete what the selectors select, one by one; an object that is gone meanwhile is no failure."""
    respond.target_of(ctx)
    options = await read_options(ctx)
    listing = replace(list_options(ctx.request), limit=0, continue_token="")
    check_list(listing, watch=False)
    page = await page_of(ctx, listing, selection_of(ctx, listing))
    found = [codec.decode(raw) for raw in await conversion.working_bytes(ctx.resource, page.raws)]
    gate = asyncio.Semaphore(COLLECTION_WORKERS)
    await asyncio.gather(*(_delete_one(ctx, obj, options, gate) for obj in found))
    items = [conversion.to_version(obj, ctx.resource) for obj in found]
    whole = {
        "kind": list_kind(ctx),
        "apiVersion": ctx.resource.api_version,
        "metadata": {"resourceVersion": str(page.revision)},
        "items": items,
    }
    return respond.plain_object(ctx, whole)


async def _delete_one(ctx: Context, obj: Object, options: DeleteOptions, gate: asyncio.Semaphore) -> None:
    metadata = obj["metadata"]
    info = replace(ctx.info, name=metadata["name"], namespace=metadata.get("namespace", ""))
    single = replace(ctx, info=info)
    async with gate:
        try:
            await delete_object(single, options)
        except StatusError as error:
            if not errors.is_not_found(error):
                raise
