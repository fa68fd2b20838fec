"""Server-side apply over HTTP: what `application/apply-patch+yaml` asks for.

An apply to a name that does not exist creates the object, for which its author must be allowed to create.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.body import BodyError, parse_json, parse_yaml
from control_plane.api.decode import DecodeError, decode_error
from control_plane.api.errors import StatusError
from control_plane.api.schema import Node
from control_plane.api.strategy import strategy_for
from control_plane.apiserver import conversion, patch_schema
from control_plane.apiserver.authz.forbidden import forbidden_error
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, write
from control_plane.apiserver.handlers.body import GVK
from control_plane.apiserver.handlers.create import create_object
from control_plane.apiserver.handlers.options import IGNORE, STRICT, WriteOptions
from control_plane.apiserver.patch import apply as server_side
from control_plane.apiserver.patch.apply import declared
from control_plane.apiserver.patch.apply.fields import NOTHING, Paths

Object = dict[str, Any]


async def applied(ctx: Context, patch_body: bytes, live: Object | None, options: WriteOptions) -> Object:
    """The object (of the request's version) with the configuration of the body applied. Raises
    StatusError."""
    config = read(patch_body, ctx.resource.gvk)
    check_manager(options)
    node = patch_schema.node_of(ctx.resource)
    _check_declared(ctx, config, node)
    result = await server_side.apply(
        live,
        config,
        node,
        options.field_manager,
        options.force,
        meta.rfc3339(ctx.core.clock()),
        ctx.info.subresource,
        _reset(ctx),
        conversion.shows(ctx.core.registry, ctx.resource),
        ctx.resource.custom,
    )
    _check_duplicates(ctx, patch_body, options)
    return result


async def create(ctx: Context, patch_body: bytes, options: WriteOptions) -> Object:
    """The object that the configuration describes, as it is stored. Raises StatusError."""
    await _check_may_create(ctx)
    made = await applied(ctx, patch_body, None, options)
    uid = meta.uid_of(made)
    if uid:
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise errors.conflict(ctx.resource.group, ctx.resource.resource, ctx.info.name, why)
    made = body.checked(ctx, made, ctx.resource.gvk, options.field_validation, [])
    write.check_identity(ctx, made)
    return await create_object(ctx, made, options)


def is_absent(ctx: Context, error: StatusError) -> bool:
    """Whether it is the object itself that was not found."""
    details = error.details or {}
    same = (details.get("kind"), details.get("name")) == (ctx.resource.resource, ctx.info.name)
    return errors.is_not_found(error) and same and not ctx.info.subresource


def check_manager(options: WriteOptions) -> None:
    """Raises StatusError Invalid."""
    if not options.field_manager:
        problem = errors.required("fieldManager", "is required for apply patch")
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [problem])


def _check_declared(ctx: Context, config: Object, node: Node | None) -> None:
    """Raises StatusError BadRequest for fields that the schema does not know."""
    gvk = ctx.resource.gvk
    try:
        _, problems = body.normalized(ctx, deepcopy(config), gvk)
    except DecodeError as error:
        raise errors.bad_request(decode_error(gvk[1], gvk[2], str(error))) from error
    if problems:
        unknown = [problem.removeprefix('unknown field "').removesuffix('"') for problem in problems]
        raise errors.bad_request(declared.message(config, node, unknown, ctx.namespace))


def _check_duplicates(ctx: Context, patch_body: bytes, options: WriteOptions) -> None:
    """Raises StatusError BadRequest, or warns, of keys that stand there twice."""
    _, duplicates = parse_yaml(patch_body)
    if not duplicates or options.field_validation == IGNORE:
        return
    why = "error converting YAML to JSON: yaml: unmarshal errors:" + "".join(
        f"\n  {each}" for each in duplicates
    )
    if options.field_validation == STRICT:
        raise errors.bad_request(f"error strict decoding YAML: {why}")
    ctx.warn(why)


def read(patch_body: bytes, gvk: GVK) -> Object:
    """The configuration. Raises StatusError BadRequest for what is none, or one of another kind."""
    try:
        is_json = patch_body.lstrip()[:1] == b"{"
        config, _ = parse_json(patch_body) if is_json else parse_yaml(patch_body)
    except BodyError as error:
        raise errors.bad_request(f"error decoding patch: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("metadata", {}), dict):
        raise errors.bad_request("error decoding patch: not an object")
    group, version, kind = gvk
    expected = meta.api_version(group, version)
    if config.get("apiVersion") != expected:
        raise errors.bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {config.get('apiVersion', '')}, "
            f"expected: {expected}"
        )
    if config.get("kind") != kind:
        raise errors.bad_request(
            f"the kind in the data ({config.get('kind', '')}) does not match the expected kind ({kind})"
        )
    return config


def _reset(ctx: Context) -> Paths:
    """The fields that this endpoint does not write."""
    if ctx.info.subresource == "status":
        kept = () if ctx.resource.custom else strategy_for(ctx.resource).kept_by_status
        return frozenset({("f:spec",), *(("f:metadata", f"f:{key}") for key in kept)})
    return frozenset({("f:status",)}) if "status" in ctx.resource.subresources else NOTHING


async def _check_may_create(ctx: Context) -> None:
    info = ctx.info
    asked = Attributes(
        ctx.user,
        "create",
        ctx.resource.group,
        ctx.resource.version,
        ctx.resource.resource,
        namespace=ctx.namespace,
        name=info.name,
    )
    decision, reason = await ctx.core.authorizer.authorize(asked)
    if decision is not Decision.ALLOW:
        raise forbidden_error(asked, reason)
