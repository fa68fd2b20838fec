"""How long the store takes, by operation and resource: `etcd_request_duration_seconds` and its kin."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter
from typing import TypeVar

from control_plane.apiserver import metrics
from control_plane.apiserver.series import Labels
from control_plane.apiserver.tracing.context import CURRENT, child, outgoing
from store.client.transport import EXTRA_HEADERS

T = TypeVar("T")

_known: dict[tuple[str, bytes], Labels] = {}


async def measured(operation: str, key: bytes, request: Awaitable[T]) -> T:
    """Await the request. `key` is one of the resource's, or the prefix of all."""
    labels = _labels(operation, key)
    metrics.STORE_REQUESTS.add(labels)
    began = perf_counter()
    try:
        if CURRENT.get() is None:
            return await request
        with child(f"etcd {operation}", {"resource": labels[2], "group": labels[1]}):
            return await _traced(request)
    except Exception:
        metrics.STORE_ERRORS.add(labels)
        raise
    finally:
        metrics.STORE_DURATIONS.observe(labels, perf_counter() - began)


async def _traced(request: Awaitable[T]) -> T:
    lines = "".join(f"{name}: {value}\r\n" for name, value in outgoing().items())
    token = EXTRA_HEADERS.set(lines.encode("latin-1"))
    try:
        return await request
    finally:
        EXTRA_HEADERS.reset(token)


def _labels(operation: str, key: bytes) -> Labels:
    """Of `/registry/<group>/<resource>/...`."""
    end = key.find(b"/", key.find(b"/", len(b"/registry/")) + 1)
    collection = (operation, key[:end])
    found = _known.get(collection)
    if found is None:
        _, _, group, resource = key[:end].decode().split("/")
        found = _known[collection] = (operation, "" if group == "core" else group, resource)
    return found
