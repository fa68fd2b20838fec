"""From what a request is about to the handler that answers it: verbs, subresources, and paths of no resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from control_plane.api import errors
from control_plane.api.registry import Resource
from control_plane.apiserver import metrics_api, reviews, subresources
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers.create import create
from control_plane.apiserver.handlers.delete import delete, delete_collection
from control_plane.apiserver.handlers.get import get
from control_plane.apiserver.handlers.list import list_
from control_plane.apiserver.handlers.patch import patch
from control_plane.apiserver.handlers.update import update
from control_plane.apiserver.handlers.watch import watch
from control_plane.apiserver.messages import Response
from control_plane.apiserver.routes import RequestInfo

_OF_COLLECTIONS = frozenset({"create", "list", "watch", "deletecollection"})

Handler = Callable[[Context], Awaitable[Response]]

_VERBS: Mapping[str, Handler] = {
    "create": create,
    "get": get,
    "list": list_,
    "watch": watch,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}


def resource_handler(ctx: Context) -> Handler:
    """Raises StatusError: 404 for a path that is not there, 405 for a verb that its resource lacks."""
    info, resource = ctx.info, ctx.resource
    _check_scope(ctx)
    if info.subresource:
        if info.subresource not in resource.subresources:
            raise errors.path_not_found()
        return subresources.handler(ctx)
    handler = _VERBS.get(info.verb) if resource.persisted else _unstored(resource)
    if handler is None or info.verb not in resource.verbs or bool(info.name) is not _names_one(info):
        raise errors.method_not_allowed()
    return handler


def _unstored(resource: Resource) -> Handler | None:
    return metrics_api.handler(resource) or reviews.handler(resource)


def _check_scope(ctx: Context) -> None:
    """A namespaced object needs its namespace in the path; a cluster-scoped one must not have one."""
    info, resource = ctx.info, ctx.resource
    if resource.namespaced and not info.namespace:
        if info.verb == "create":
            raise errors.method_not_allowed()
        if info.name and info.verb not in _OF_COLLECTIONS:
            raise errors.path_not_found()
    if info.namespace and not resource.namespaced and resource.resource != "namespaces":
        raise errors.path_not_found()


def _names_one(info: RequestInfo) -> bool:
    """Whether the verb is about one object; a list by `metadata.name` may have a name or not."""
    return bool(info.name) if info.verb in ("list", "watch") else info.verb not in _OF_COLLECTIONS
