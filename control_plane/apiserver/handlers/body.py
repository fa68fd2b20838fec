"""From a request's body to an object in the version of the request: JSON, YAML or protobuf, checked against
the schema.

A missing Content-Type is JSON, and a missing apiVersion or kind is the one the URL names (the official Python
client sends neither). Unknown and duplicate fields are refused, warned of or ignored as `fieldValidation` says;
what is of the wrong type is always refused.
"""

from __future__ import annotations

from typing import Any

import orjson

from control_plane.api import errors, protobuf
from control_plane.api.body import BodyError, in_order, parse_json, parse_yaml
from control_plane.api.decode import DecodeError, decode, decode_error, strict_error
from control_plane.api.schema import definition, lookup
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers.options import IGNORE, STRICT
from control_plane.apiserver.messages import JSON, MAX_BODY_SIZE_BYTES, PROTOBUF, YAML, BodyTooLarge

ACCEPTED = (JSON, YAML, PROTOBUF)
SUMMARY_CHARS = 30

Object = dict[str, Any]
GVK = tuple[str, str, str]


async def read_body(ctx: Context) -> bytes:
    """Raises StatusError RequestEntityTooLarge."""
    try:
        return await ctx.request.read(MAX_BODY_SIZE_BYTES)
    except BodyTooLarge as error:
        raise errors.too_large(MAX_BODY_SIZE_BYTES) from error


async def read_object(ctx: Context, gvk: GVK, field_validation: str) -> Object:
    """The body as an object of `gvk`. Raises StatusError."""
    body = await read_body(ctx)
    obj, problems = parse(ctx, body, gvk)
    return checked(ctx, obj, gvk, field_validation, problems, body)


def parse(ctx: Context, body: bytes, gvk: GVK) -> tuple[Object, list[str]]:
    """The body as it stands, with apiVersion and kind, and the duplicate fields found."""
    content_type = ctx.request.content_type()
    if content_type == PROTOBUF:
        obj, problems = _protobuf(ctx, body, gvk), list[str]()
    elif content_type in ("", JSON, "text/json"):
        obj, problems = _json(body, gvk[2])
    elif content_type in (YAML, "text/yaml", "application/x-yaml"):
        obj, problems = _yaml(body, gvk[2])
    else:
        raise errors.unsupported_media_type(ACCEPTED)
    _check_kind(obj, gvk)
    return obj, problems


def checked(
    ctx: Context, obj: Object, gvk: GVK, field_validation: str, problems: list[str], body: bytes = b""
) -> Object:
    """The object as Go's decoder would leave it. Raises StatusError BadRequest."""
    try:
        obj, unknown = normalized(ctx, obj, gvk)
    except DecodeError as error:
        raise errors.bad_request(decode_error(gvk[1], gvk[2], str(error))) from error
    both = bool(problems and unknown) and body.lstrip()[:1] == b"{"
    problems = in_order(body, [*problems, *unknown]) if both else [*unknown, *problems]
    if problems and field_validation == STRICT:
        raise errors.bad_request(strict_error(gvk[1], gvk[2], problems))
    warn_of(ctx, problems, field_validation)
    return obj


def normalized(ctx: Context, obj: Object, gvk: GVK) -> tuple[Object, list[str]]:
    """The object by its kind's schema, and the fields that the schema does not know. Raises DecodeError."""
    custom = ctx.resource.custom_kind
    if custom is not None and gvk == ctx.resource.gvk:
        found = custom.decode(obj)
        found.object.setdefault("metadata", {})
        return found.object, found.unknown
    node = lookup(*gvk)
    unknown: list[str] = []
    if node is not None:
        decoded = decode(node, obj)
        obj, unknown = decoded.object, decoded.unknown
    elif not isinstance(obj.get("metadata", {}), dict):
        raise DecodeError("json: cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta")
    obj.setdefault("metadata", {})
    return obj, unknown


def warn_of(ctx: Context, problems: list[str], field_validation: str) -> None:
    if field_validation != IGNORE:
        for problem in problems:
            ctx.warn(problem)


def _protobuf(ctx: Context, body: bytes, gvk: GVK) -> Object:
    try:
        _, _, obj = protobuf.decode(body)
    except protobuf.ProtobufError as error:
        raise _unrecognized(gvk[2], str(error), body) from error
    return obj


def _json(body: bytes, kind: str) -> tuple[Object, list[str]]:
    try:
        value, problems = parse_json(body)
    except BodyError as error:
        raise _unrecognized(kind, str(error), body) from error
    return _mapping(value, kind, body), problems


def _yaml(body: bytes, kind: str) -> tuple[Object, list[str]]:
    try:
        value, problems = parse_yaml(body)
    except BodyError as error:
        raise _unrecognized(kind, str(error), body) from error
    return _mapping(value, kind, body), problems


def _mapping(value: Any, kind: str, body: bytes) -> Object:
    if not isinstance(value, dict):
        raise _unrecognized(kind, "couldn't get version/kind; json parse error: not an object", body)
    return value


def _unrecognized(kind: str, why: str, body: bytes) -> errors.StatusError:
    if not body:
        return errors.bad_request(
            f"the object provided is unrecognized (must be of type {kind}): {why} (<empty>)"
        )
    text = body[:SUMMARY_CHARS].decode("utf-8", "replace")
    shown = text + (" ..." if len(body) > SUMMARY_CHARS else "")
    summary = orjson.dumps(shown).decode()
    return errors.bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
    )


def _check_kind(obj: Object, gvk: GVK) -> None:
    """Fill in what the client left out; refuse what is another kind than the URL's."""
    group, version, kind = gvk
    expected = f"{group}/{version}" if group else version
    api_version = obj.get("apiVersion") or expected
    given = obj.get("kind") or kind
    if api_version != expected:
        raise errors.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )
    if given != kind:
        raise errors.bad_request(
            f"{given} in version {errors.quote(version)} cannot be handled as a {kind}: "
            f"the kind in the data ({given}) does not match the expected kind ({kind})"
        )
    obj["apiVersion"], obj["kind"] = expected, kind


def fill_kind(obj: Object, gvk: GVK) -> None:
    """A patched object keeps its kind. Raises StatusError BadRequest."""
    _check_kind(obj, gvk)


def parse_delete_options(ctx: Context, body: bytes) -> Object:
    """DeleteOptions, of any group version, with its fields of their types. Raises StatusError BadRequest."""
    kind = "DeleteOptions"
    if ctx.request.content_type() == PROTOBUF:
        return _protobuf(ctx, body, ("meta.k8s.io", "v1", kind))
    parse_text = _yaml if ctx.request.content_type() in (YAML, "text/yaml") else _json
    obj, _ = parse_text(body, kind)
    if obj.get("kind") not in (None, "", kind):
        raise errors.bad_request(f"decoded object cannot be converted to {kind}")
    node = definition(f"io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")
    assert node is not None
    try:
        return decode(node, obj).object
    except DecodeError as error:
        raise errors.bad_request(decode_error("v1", kind, str(error))) from error
