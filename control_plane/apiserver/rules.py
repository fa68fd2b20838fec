"""What the API says of a kind: defaults, what its strategy prepares, what its validation finds.

The one place where the generic path asks `control_plane.api` about a kind. Objects here are in the storage version,
but for `default`, which works on what the client sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.api import defaults, errors, validation
from control_plane.api.errors import FieldError
from control_plane.api.registry import Resource
from control_plane.api.strategy import Strategy, strategy_for
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.core import Context

Object = dict[str, Any]


def default(resource: Resource, obj: Object) -> None:
    if resource.custom_kind is not None:
        resource.custom_kind.default(obj)
        return
    defaults.apply(resource.group, resource.version, resource.kind, obj)


def strategy(ctx: Context) -> Strategy:
    return strategy_for(ctx.stored_resource)


def prepare_for_create(resource: Resource, obj: Object, user: UserInfo | None = None) -> None:
    """`resource` is the storage version."""
    strategy_for(resource).prepare_for_create(obj, _user_object(user) if user is not None else None)


def prepare_for_update(ctx: Context, new: Object, old: Object) -> None:
    subresource = ctx.info.subresource
    if subresource and subresource != "scale":
        strategy(ctx).prepare_for_subresource_update(subresource, new, old)
    else:
        strategy(ctx).prepare_for_update(new, old)


def validate_create(ctx: Context, obj: Object) -> Sequence[FieldError]:
    return validation.validate_create(ctx.stored_resource, obj)


def validate_update(ctx: Context, new: Object, old: Object) -> Sequence[FieldError]:
    subresource = "" if ctx.info.subresource == "scale" else ctx.info.subresource
    return validation.validate_update(ctx.stored_resource, new, old, subresource)


def warnings(ctx: Context, obj: Object, old: Object | None = None) -> Sequence[str]:
    return validation.warnings(ctx.stored_resource, obj, old)


def check(ctx: Context, problems: Sequence[FieldError], name: str) -> None:
    """Raises StatusError Invalid."""
    if problems:
        raise errors.invalid(ctx.resource.group, ctx.resource.kind, name, problems)


def _user_object(user: UserInfo) -> Mapping[str, Any]:
    extra = {key: list(values) for key, values in user.extra.items()}
    return {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
