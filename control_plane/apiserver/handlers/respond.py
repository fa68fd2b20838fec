"""From objects to answers: the form that the client negotiated, in the version it asked for.

The common case (JSON, in the version of the store) sends the cache's bytes as they are; everything else is decoded,
converted, transformed and encoded.
"""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from control_plane.api import protobuf
from control_plane.apiserver import conversion, tables
from control_plane.apiserver.core import Context
from control_plane.apiserver.messages import JSON, PROTOBUF, YAML, Response
from control_plane.apiserver.negotiation import Target, negotiate

Object = dict[str, Any]


def target_of(ctx: Context) -> Target:
    """What the client wants of objects. Raises StatusError NotAcceptable."""
    return negotiate(ctx.request.headers.get("Accept", ""))


def is_plain(ctx: Context, target: Target) -> bool:
    """Whether stored bytes can be sent as they are."""
    as_kept = ctx.resource.is_storage_version or ctx.resource.custom  # those are converted before
    return target.media_type == JSON and not target.transform and as_kept


def raw_object(ctx: Context, raw: bytes, status: int = 200) -> Response:
    """Answer with an object that is at hand as JSON of the storage version."""
    target = target_of(ctx)
    if is_plain(ctx, target):
        return Response(status, raw, warnings=ctx.warnings)
    return stored_object(ctx, orjson.loads(raw), status)


def stored_object(ctx: Context, obj: Object, status: int = 200) -> Response:
    """Answer with an object in the storage version."""
    return served_object(ctx, conversion.to_version(obj, ctx.resource), status)


def served_object(ctx: Context, obj: Object, status: int = 200) -> Response:
    """Answer with an object in the version of the request (or of a subresource)."""
    target = target_of(ctx)
    if target.transform:
        obj = transform(ctx, target, obj)
    return encoded(ctx, target, obj, status)


def plain_object(ctx: Context, obj: Object, status: int = 200) -> Response:
    """Answer with what is no object of the resource (a Status, a review): never transformed. Raises StatusError
    NotAcceptable for a client that takes nothing but a Table."""
    target = negotiate(ctx.request.headers.get("Accept", ""), offer_transforms=False)
    return encoded(ctx, target, obj, status)


def encoded(ctx: Context, target: Target, obj: Object, status: int = 200) -> Response:
    body, content_type = encode(ctx, target, obj)
    return Response(status, body, content_type, warnings=ctx.warnings)


def encode(ctx: Context, target: Target, obj: Object) -> tuple[bytes, str]:
    if target.media_type == PROTOBUF and protobuf.supports(obj["apiVersion"], obj["kind"]):
        return protobuf.encode(obj), PROTOBUF
    if target.media_type == YAML:
        return yaml.safe_dump(obj, sort_keys=False, allow_unicode=True).encode(), YAML
    return orjson.dumps(obj), JSON


def transform(ctx: Context, target: Target, obj: Object) -> Object:
    """One object as a Table or as PartialObjectMetadata."""
    if target.transform == "Table":
        version = obj["metadata"].get("resourceVersion", "")
        include = ctx.request.first("includeObject") or "Metadata"
        metadata = {"resourceVersion": version}
        now_s = ctx.core.clock()
        return tables.table(ctx.resource, [obj], metadata, target.version, include, now_s)
    return tables.partial(obj, target.version)
