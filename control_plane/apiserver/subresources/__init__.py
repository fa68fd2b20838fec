"""Subresources, one file each; which handler answers which request is this table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from control_plane.api import errors
from control_plane.apiserver.core import Context
from control_plane.apiserver.messages import Response
from control_plane.apiserver.subresources import (
    binding,
    eviction,
    finalize,
    log,
    part,
    proxy,
    scale,
    token,
    tunnels,
)

Handler = Callable[[Context], Awaitable[Response]]

_CONNECT = {"get": tunnels.connect, "create": tunnels.connect}
_PART = {"get": part.get, "update": part.update, "patch": part.patch}

_HANDLERS: Mapping[str, Mapping[str, Handler]] = {
    "status": _PART,
    "approval": _PART,
    "ephemeralcontainers": _PART,
    "resize": _PART,
    "finalize": {"update": finalize.update},
    "scale": {"get": scale.get, "update": scale.update, "patch": scale.patch},
    "binding": {"create": binding.create},
    "eviction": {"create": eviction.create},
    "token": {"create": token.create},
    "log": {"get": log.get},
    "exec": _CONNECT,
    "attach": _CONNECT,
    "portforward": _CONNECT,
}


def handler(ctx: Context) -> Handler:
    """Raises StatusError MethodNotAllowed."""
    info = ctx.info
    if info.subresource == "proxy" and info.name:
        return proxy.connect  # with any method
    found = _HANDLERS.get(info.subresource, {}).get(info.verb)
    if found is None or not info.name:
        raise errors.method_not_allowed()
    return found
