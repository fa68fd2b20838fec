"""What the API has, where answers may be lost: it is asked again until it says."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from control_plane.api.errors import StatusError, is_not_found
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import GVR
from control_plane.client.types import Obj

if TYPE_CHECKING:
    from control_plane.scheduler.framework.interface import Handle

ASK_AGAIN_S = 0.5


async def found(handle: Handle, gvr: GVR, name: str, namespace: str, tries: int | None = None) -> Obj | None:
    """None when there is no such object, or when nobody answered in so many tries."""
    for _ in count() if tries is None else range(tries):
        try:
            return await handle.client.get(gvr, name, namespace)
        except StatusError as failure:
            if is_not_found(failure):
                return None
        except ConnectionFailed:
            pass
        await handle.clock.sleep(ASK_AGAIN_S)
    return None
