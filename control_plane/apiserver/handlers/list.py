"""GET of a collection: one consistent page of it.

| resourceVersion | match                  | answered                                              |
|-----------------|------------------------|-------------------------------------------------------|
| unset           |                        | at the store's revision now                           |
| 0               | unset or NotOlderThan  | as the cache is                                       |
| N               | NotOlderThan, or unset without limit | by the cache once it has N              |
| N               | Exact, or unset with limit           | at N                                    |
| continue        |                        | at the revision of the first page                     |

The cache answers whenever it can say what the collection was at that revision: it is current, or it has not changed
since. Else the store reads at the revision, as long as it is not compacted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from control_plane.api import errors
from control_plane.apiserver import conversion, tables
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import respond
from control_plane.apiserver.handlers.options import (
    ListOptions,
    check_list,
    list_options,
    parse_resource_version,
)
from control_plane.apiserver.messages import JSON, Response
from control_plane.apiserver.negotiation import Target
from control_plane.apiserver.selection import Selection, selection
from control_plane.apiserver.storage import codec, continuation, keys
from control_plane.apiserver.watch_cache.entry import Entry
from store.client.errors import Compacted, FutureRevision
from store.client.types import prefix_end

STORE_PAGE_OBJECTS = 500
_LIST_TOO_OLD = "The resourceVersion for the provided list is too old."

Object = dict[str, Any]


@dataclass(slots=True)
class Page:
    raws: list[bytes]
    revision: int
    next_start: str = ""  # the last item of the page, when there is more
    remaining: int | None = None

    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {"resourceVersion": str(self.revision)}
        if self.next_start:
            metadata["continue"] = continuation.after(self.revision, self.next_start).encode()
            if self.remaining:
                metadata["remainingItemCount"] = self.remaining
        return metadata


async def list_(ctx: Context) -> Response:
    target = respond.target_of(ctx)
    options = list_options(ctx.request)
    check_list(options, watch=False)
    chosen = selection_of(ctx, options)
    page = await page_of(ctx, options, chosen)
    page.raws = await conversion.working_bytes(ctx.resource, page.raws)
    return _answer(ctx, target, page, options)


def selection_of(ctx: Context, options: ListOptions) -> Selection:
    return selection(ctx, options.label_selector, options.field_selector)


async def page_of(ctx: Context, options: ListOptions, chosen: Selection) -> Page:
    """Raises StatusError (410 for what is compacted)."""
    core = ctx.core
    if options.continue_token:
        return await _continued(ctx, options, chosen)
    version = parse_resource_version(options.resource_version)
    if not options.resource_version:
        if not await core.freshness.caught_up():
            return await _from_store(ctx, options, chosen, 0, "")
    elif version and _is_exact(options):
        return await _exact(ctx, options, chosen, version)
    elif version:
        await core.freshness.not_older_than(version)
    return _from_cache(ctx, options.limit, chosen, core.feed.revision, "")


def _is_exact(options: ListOptions) -> bool:
    match = options.resource_version_match
    return match == "Exact" or (not match and options.limit > 0)


async def _exact(ctx: Context, options: ListOptions, chosen: Selection, version: int) -> Page:
    try:
        return await _at(ctx, options, chosen, version, "")
    except Compacted as error:
        raise errors.expired(_LIST_TOO_OLD) from error
    except FutureRevision as error:
        raise ctx.core.freshness.too_large(version) from error


async def _continued(ctx: Context, options: ListOptions, chosen: Selection) -> Page:
    if options.resource_version not in ("", "0"):
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    token = continuation.parse(options.continue_token)
    if not token.start.startswith(chosen.prefix):
        raise errors.bad_request("continue key is not valid: it belongs to another collection")
    if token.revision == continuation.INCONSISTENT:
        return await _from_store(ctx, options, chosen, 0, token.start)
    try:
        return await _at(ctx, options, chosen, token.revision, token.start)
    except Compacted as error:
        raise continuation.ContinueExpired(token.start) from error
    except FutureRevision as error:
        raise ctx.core.freshness.too_large(token.revision) from error


async def _at(ctx: Context, options: ListOptions, chosen: Selection, revision: int, start: str) -> Page:
    if ctx.cache.changed_at <= revision <= ctx.core.feed.revision and ctx.cache.floor <= revision:
        return _from_cache(ctx, options.limit, chosen, revision, start)
    return await _from_store(ctx, options, chosen, revision, start)


def _from_cache(ctx: Context, limit: int, chosen: Selection, revision: int, start: str) -> Page:
    cache = ctx.cache
    if chosen.item:
        entry = cache.get(chosen.item) if chosen.item >= start else None
        found = [entry.raw] if entry is not None and chosen.matches(entry) else []
        return Page(found, revision)
    raws: list[bytes] = []
    last = ""
    matching: Iterable[tuple[str, Entry]] = cache.entries(chosen.prefix, start)
    if not chosen.all:
        matching = (pair for pair in matching if chosen.matches(pair[1]))
    if not limit:
        return Page([entry.raw for _, entry in matching], revision)
    for item, entry in matching:
        if len(raws) == limit:
            remaining = cache.count(chosen.prefix, item) if chosen.all else None
            return Page(raws, revision, last, remaining)
        raws.append(entry.raw)
        last = item
    return Page(raws, revision)


async def _from_store(
    ctx: Context, options: ListOptions, chosen: Selection, revision: int, start: str
) -> Page:
    """Read on in the store until the page is full or the collection ends; selectors are applied here."""
    prefix = keys.collection(ctx.resource.storage_group, ctx.resource.resource)
    scope = prefix + (chosen.item or chosen.prefix).encode()
    end = scope + b"\x00" if chosen.item else prefix_end(scope)
    at = max(scope, prefix + start.encode())
    limit = options.limit
    page = Page([], revision)
    while True:
        found, read_at, more, count = await ctx.core.objects.list_at(
            prefix, at, end, limit or STORE_PAGE_OBJECTS, revision
        )
        revision = page.revision = revision or read_at
        for index, (item, stored, changed_at) in enumerate(found):
            raw = ctx.core.feed.normal(ctx.resource.storage_group, ctx.resource.resource, stored)
            if not chosen.matches(Entry(raw, changed_at)):
                continue
            page.raws.append(raw)
            if limit and len(page.raws) == limit and (more or index + 1 < len(found)):
                page.next_start = item
                page.remaining = count - len(found) if chosen.all else None
                return page
        if not more or not found:
            return page
        at = prefix + found[-1][0].encode() + b"\x00"


def _answer(ctx: Context, target: Target, page: Page, options: ListOptions) -> Response:
    if respond.is_plain(ctx, target):
        return Response(200, raw_list(ctx, page), JSON, warnings=ctx.warnings)
    items = [conversion.to_version(codec.decode(raw), ctx.resource) for raw in page.raws]
    if target.transform == "Table":
        table = tables.table(
            ctx.resource, items, page.metadata(), target.version, options.include_object, ctx.core.clock()
        )
        return respond.encoded(ctx, target, table)
    if target.transform:
        items = [tables.partial(item, target.version) for item in items]
        kind, api_version = "PartialObjectMetadataList", f"meta.k8s.io/{target.version}"
    else:
        kind, api_version = list_kind(ctx), ctx.resource.api_version
    whole = {"kind": kind, "apiVersion": api_version, "metadata": page.metadata(), "items": items}
    return respond.encoded(ctx, target, whole)


def list_kind(ctx: Context) -> str:
    return ctx.resource.list_kind or f"{ctx.resource.kind}List"


def raw_list(ctx: Context, page: Page) -> bytes:
    """The list's JSON, put together from the objects' own bytes."""
    head = {"kind": list_kind(ctx), "apiVersion": ctx.resource.api_version, "metadata": page.metadata()}
    return b"".join((orjson.dumps(head)[:-1], b',"items":[', b",".join(page.raws), b"]}\n"))
