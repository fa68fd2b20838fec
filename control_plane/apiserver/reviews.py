"""What is answered at once and never stored: questions about users and rights, and the state of components."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.registry import Resource
from control_plane.apiserver import tables
from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.union import with_authenticated_group
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, respond, write
from control_plane.apiserver.handlers.options import write_options
from control_plane.apiserver.messages import Response
from control_plane.apiserver.subresources import binding

Object = dict[str, Any]
Handler = Callable[[Context], Awaitable[Response]]


def handler(resource: Resource) -> Handler | None:
    return _HANDLERS.get(resource.group_resource)


async def _read(ctx: Context) -> Object:
    options = write_options(ctx.request, "CreateOptions")
    return await body.read_object(ctx, ctx.resource.gvk, options.field_validation)


def _answer(ctx: Context, review: Object, status: Object) -> Response:
    review["status"] = status
    return respond.plain_object(ctx, review, 201)


async def _access(ctx: Context, user: UserInfo, review: Object) -> Response:
    spec = review.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problem = errors.invalid_value("spec.resourceAttributes", resource, why)
        raise errors.invalid(ctx.resource.group, ctx.resource.kind, "", [problem])
    if resource is not None:
        attributes = _resource_attributes(user, resource)
    else:
        attributes = _path_attributes(user, path or {})
    decision, reason = await ctx.core.authorizer.authorize(attributes)
    status: Object = {"allowed": decision is Decision.ALLOW}
    if decision is Decision.DENY:
        status["denied"] = True
    if reason:
        status["reason"] = reason
    return _answer(ctx, review, status)


def _resource_attributes(user: UserInfo, given: Mapping[str, Any]) -> Attributes:
    return Attributes(
        user=user,
        verb=given.get("verb", ""),
        group=given.get("group", ""),
        version=given.get("version", ""),
        resource=given.get("resource", "") or "*",
        subresource=given.get("subresource", ""),
        namespace=given.get("namespace", ""),
        name=given.get("name", ""),
    )


def _path_attributes(user: UserInfo, given: Mapping[str, Any]) -> Attributes:
    return Attributes(user=user, verb=given.get("verb", ""), path=given.get("path", ""))


async def self_subject_access(ctx: Context) -> Response:
    return await _access(ctx, ctx.user, await _read(ctx))


async def subject_access(ctx: Context) -> Response:
    review = await _read(ctx)
    spec = review.get("spec") or {}
    if not spec.get("user") and not spec.get("groups"):
        problem = errors.invalid_value(
            "spec.user", spec.get("user", ""), "at least one of user or group must be specified"
        )
        raise errors.invalid(ctx.resource.group, ctx.resource.kind, "", [problem])
    return await _access(ctx, _subject(spec), review)


async def local_subject_access(ctx: Context) -> Response:
    review = await _read(ctx)
    write.check_namespace(ctx, review)
    spec = review.get("spec") or {}
    attributes = spec.get("resourceAttributes") or {}
    if attributes.get("namespace") != ctx.namespace:
        why = "must match metadata.namespace"
        problem = errors.invalid_value(
            "spec.resourceAttributes.namespace", attributes.get("namespace", ""), why
        )
        raise errors.invalid(ctx.resource.group, ctx.resource.kind, "", [problem])
    return await _access(ctx, _subject(spec), review)


def _subject(spec: Mapping[str, Any]) -> UserInfo:
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


async def self_subject_rules(ctx: Context) -> Response:
    review = await _read(ctx)
    namespace = (review.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise errors.bad_request("no namespace on request")
    return _answer(ctx, review, ctx.core.rules_of.status(ctx.user, namespace))


async def self_subject(ctx: Context) -> Response:
    review = await _read(ctx)
    review["metadata"]["creationTimestamp"] = meta.rfc3339(ctx.core.clock())
    return _answer(ctx, review, {"userInfo": ctx.user.as_object()})


async def token_review(ctx: Context) -> Response:
    """The user is the one whom a request with this token would have, in the same groups."""
    review = await _read(ctx)
    spec = review.get("spec") or {}
    token = spec.get("token", "")
    if not token:
        raise errors.bad_request("token is required for TokenReview in authentication")
    audiences = tuple(spec.get("audiences") or ())
    try:
        found = await ctx.core.token_authenticator.authenticate_token(token, audiences)
    except Unauthenticated as error:
        return _answer(ctx, review, {"user": {}, "error": f"[invalid bearer token, {error}]"})
    if found is None:
        return _answer(ctx, review, {"user": {}, "error": "invalid bearer token"})
    user = with_authenticated_group(found.user)
    status: Object = {"authenticated": True, "user": user.as_object()}
    if found.audiences:
        status["audiences"] = list(found.audiences)
    return _answer(ctx, review, status)


async def pod_binding(ctx: Context) -> Response:
    """POST of a Binding to the collection: the older form of `pods/binding`."""
    pods = ctx.core.registry.get("", "v1", "pods")
    assert pods is not None
    return await binding.create(replace(ctx, resource=pods))


async def component_statuses(ctx: Context) -> Response:
    """Deprecated, but `kubectl get componentstatuses` asks for it: the one component this server can see."""
    why = ctx.core.freshness.failure
    condition = {"type": "Healthy", "status": "True" if why is None else "False", "message": why or "ok"}
    store = {
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": {"name": "etcd-0"},
        "conditions": [condition],
    }
    if ctx.info.verb == "get":
        if ctx.info.name != "etcd-0":
            raise errors.not_found("", "componentstatuses", ctx.info.name)
        return respond.served_object(ctx, store)
    target = respond.target_of(ctx)
    if target.transform == "Table":
        include = ctx.request.first("includeObject") or "Metadata"
        shown = tables.table(ctx.resource, [store], {}, target.version, include, ctx.core.clock())
    else:
        shown = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": [store]}
    return respond.encoded(ctx, target, shown)


_HANDLERS: Mapping[str, Handler] = {
    "selfsubjectaccessreviews.authorization.k8s.io": self_subject_access,
    "subjectaccessreviews.authorization.k8s.io": subject_access,
    "localsubjectaccessreviews.authorization.k8s.io": local_subject_access,
    "selfsubjectrulesreviews.authorization.k8s.io": self_subject_rules,
    "selfsubjectreviews.authentication.k8s.io": self_subject,
    "tokenreviews.authentication.k8s.io": token_review,
    "bindings": pod_binding,
    "componentstatuses": component_statuses,
}
