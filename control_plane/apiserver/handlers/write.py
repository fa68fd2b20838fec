"""What all writes share: checking names and namespaces, admission, and the loop of compare-and-swap.

A change is first tried on the cached object. The cache may be behind: when the store says so, or when the change is
refused on what may be old data, it is tried again on what the store has. Whoever loses a race against another
writer starts over from the winner's object, a bounded number of times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import StatusError
from control_plane.apiserver import conversion
from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.core import Context
from control_plane.apiserver.storage import codec, keys
from control_plane.apiserver.storage.objects import Also, AlsoFailed, Changed, Stored

MAX_RETRIES = 30

Object = dict[str, Any]


@dataclass(slots=True)
class Plan:
    """What an update comes to: the new object, or its removal, and what goes with it in one transaction."""

    new: Object
    remove: bool = False
    also: Also | None = None


@dataclass(slots=True)
class Outcome:
    object: Object  # in the storage version, with its resourceVersion
    created: bool = False
    removed: bool = False


Change = Callable[[Stored], Awaitable[Plan]]


def check_identity(ctx: Context, obj: Object) -> None:
    """The body's name and namespace are the URL's, or are filled in from it. Raises StatusError BadRequest."""
    metadata = obj["metadata"]
    name = metadata.get("name", "")
    if ctx.info.name:
        if not name:
            metadata["name"] = ctx.info.name
        elif name != ctx.info.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({ctx.info.name})"
            )
    check_namespace(ctx, obj)


def check_namespace(ctx: Context, obj: Object) -> None:
    metadata = obj["metadata"]
    namespace = metadata.get("namespace", "")
    if not ctx.resource.namespaced:
        if namespace and ctx.resource.resource != "namespaces":
            raise errors.bad_request("namespace should not be set on a cluster-scoped object")
        metadata.pop("namespace", None)
    elif not namespace:
        metadata["namespace"] = ctx.namespace
    elif namespace != ctx.namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def admission_request(
    ctx: Context,
    operation: Operation,
    obj: Object | None,
    old: Object | None,
    dry_run: bool,
    options: dict[str, Any] | None = None,
    name: str = "",
) -> AdmissionRequest:
    return AdmissionRequest(
        operation=operation,
        group=ctx.resource.group,
        version=ctx.resource.version,
        resource=ctx.resource.resource,
        kind=(obj or {}).get("kind") or ctx.resource.kind,
        subresource=ctx.info.subresource,
        namespace=ctx.namespace or (ctx.info.name if ctx.resource.resource == "namespaces" else ""),
        name=name or ctx.info.name,
        object=obj,
        old_object=old,
        user=ctx.user,
        dry_run=dry_run,
        options=options or {},
        warnings=ctx.warnings,
        annotations=ctx.request.audit_annotations,
    )


async def current_object(ctx: Context, name: str = "", live: bool = False) -> tuple[Stored | None, bool]:
    """The object, and whether it is certain that this is what the store has now."""
    name = name or ctx.info.name
    if not live:
        entry = ctx.cache.get(keys.item(ctx.namespace, name))
        if entry is not None:
            cached = Stored(entry.object(), entry.revision)
            return await conversion.working(ctx.resource, cached), False
    found = await ctx.core.objects.read(ctx.resource, ctx.namespace, name)
    return await conversion.working(ctx.resource, found) if found is not None else None, True


async def guaranteed_update(
    ctx: Context, change: Change, dry_run: bool = False, start_live: bool = False
) -> Outcome:
    """Apply `change` to the object until it sticks. Raises StatusError: NotFound, Conflict, the change's own."""
    name = ctx.info.name
    current, certain = await current_object(ctx, name, start_live)
    for _ in range(MAX_RETRIES):
        if current is None:
            raise errors.not_found(ctx.resource.group, ctx.resource.resource, name)
        try:
            plan = await change(current)
        except StatusError:
            if certain:
                raise
            fresh, certain = await current_object(ctx, name, live=True)
            if fresh is not None and fresh.revision == current.revision:
                raise
            current = fresh
            continue
        if dry_run:
            return Outcome(_at(plan.new, current.revision), removed=plan.remove)
        idle = not plan.remove and plan.also is None and _unchanged(plan.new, current)
        if idle and not await ctx.core.objects.is_stale(ctx.resource, ctx.namespace, name):
            if certain:
                return Outcome(_at(plan.new, current.revision))
            fresh, certain = await current_object(ctx, name, live=True)
            if fresh is not None and fresh.revision == current.revision:
                return Outcome(_at(plan.new, current.revision))
            current = fresh
            continue
        try:
            revision = await _carry_out(ctx, name, plan, current.revision)
        except Changed as error:
            winner = error.current
            current = await conversion.working(ctx.resource, winner) if winner is not None else None
            certain = True
        except AlsoFailed:
            certain = True
            await ctx.core.freshness.caught_up()
            current, certain = await current_object(ctx, name, live=True)
        else:
            return Outcome(_at(plan.new, revision), removed=plan.remove)
    raise errors.conflict(ctx.resource.group, ctx.resource.resource, name)


async def _carry_out(ctx: Context, name: str, plan: Plan, expected_revision: int) -> int:
    objects = ctx.core.objects
    if plan.remove:
        return await objects.remove(ctx.resource, ctx.namespace, name, expected_revision, plan.also)
    stored = await conversion.storable(ctx.resource, plan.new)
    return await objects.swap(ctx.resource, ctx.namespace, name, expected_revision, stored, plan.also)


def _unchanged(new: Object, current: Stored) -> bool:
    """Whether nothing changes but the order in which fields stand."""
    return not current.stale and codec.content(new) == codec.content(current.object)


def _at(obj: Object, revision: int) -> Object:
    obj["metadata"]["resourceVersion"] = str(revision)
    return obj


def to_request_version(ctx: Context, stored: Object) -> Object:
    return conversion.to_version(stored, ctx.resource)


def to_storage_version(ctx: Context, obj: Object) -> Object:
    return conversion.to_storage(obj, ctx.resource)
