"""exec, attach, portforward and proxy: connections through the apiserver, not served yet."""

from __future__ import annotations

from control_plane.api.errors import StatusError
from control_plane.apiserver.core import Context
from control_plane.apiserver.messages import Response

NAMES = frozenset({"exec", "attach", "portforward", "proxy"})


async def refuse(ctx: Context) -> Response:
    what = f"{ctx.resource.resource}/{ctx.info.subresource}"
    raise StatusError(501, "NotImplemented", f"{what} is not implemented by this server")
