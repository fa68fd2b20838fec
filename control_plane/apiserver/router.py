"""From what a request is about to the handler that answers it: verbs, subresources, and paths of no resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from control_plane.api import errors
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers.create import create
from control_plane.apiserver.handlers.delete import delete, delete_collection
from control_plane.apiserver.handlers.get import get
from control_plane.apiserver.handlers.list import list_
from control_plane.apiserver.handlers.patch import patch
from control_plane.apiserver.handlers.update import update
from control_plane.apiserver.handlers.watch import watch
from control_plane.apiserver.messages import Response

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
    """Raises StatusError: 404 for an unknown subresource, 405 for a verb that the resource lacks."""
    from control_plane.apiserver import reviews, subresources

    info, resource = ctx.info, ctx.resource
    if (
        resource.namespaced
        and not info.namespace
        and (info.name or info.verb == "create")
        and info.verb
        not in (
            "list",
            "watch",
        )
    ):
        raise errors.path_not_found()
    if info.namespace and not resource.namespaced and resource.resource != "namespaces":
        raise errors.path_not_found()
    if info.subresource:
        if info.subresource not in resource.subresources:
            raise errors.path_not_found()
        return subresources.handler(ctx)
    handler = reviews.handler(resource) if not resource.persisted else _VERBS.get(info.verb)
    if handler is None or info.verb not in resource.verbs or (info.name and info.verb == "create"):
        raise errors.method_not_allowed()
    return handler
