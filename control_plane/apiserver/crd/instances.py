"""Deleting instances from within the server, the way a request would, but that admission is not asked: a webhook
that refuses must not keep a definition for ever."""

from __future__ import annotations

from control_plane.api import errors
from control_plane.api.errors import StatusError
from control_plane.api.registry import Resource
from control_plane.apiserver.authn.user import PRIVILEGED_GROUP, UserInfo
from control_plane.apiserver.core import Context, Core
from control_plane.apiserver.crd.controller import DeleteInstance
from control_plane.apiserver.handlers.delete import delete_object
from control_plane.apiserver.handlers.options import DeleteOptions
from control_plane.apiserver.messages import Connection, Request
from control_plane.apiserver.routes import RequestInfo

_SELF = UserInfo("system:apiserver", groups=(PRIVILEGED_GROUP,))


def deleter(core: Core) -> DeleteInstance:
    async def delete(resource: Resource, namespace: str, name: str) -> None:
        """Raises StatusError, StoreError; an instance that is not there is no error."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        path = f"{resource.path}{scope}/{resource.resource}/{name}"
        info = RequestInfo(
            path=path,
            verb="delete",
            is_resource=True,
            group=resource.group,
            version=resource.version,
            namespace=namespace,
            resource=resource.resource,
            name=name,
        )
        request = Request("DELETE", path, "", {}, Connection(), _no_body)
        try:
            context = Context(core, request, info, _SELF, resource)
            await delete_object(context, DeleteOptions(), admitted=True)
        except StatusError as error:
            if not errors.is_not_found(error):
                raise

    return delete


async def _no_body(limit: int) -> bytes:
    return b""
