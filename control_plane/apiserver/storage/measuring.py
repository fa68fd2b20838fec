"""How long the store takes, by operation and resource: `etcd_request_duration_seconds` and its kin."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter
from typing import TypeVar

from control_plane.apiserver import metrics
from control_plane.apiserver.series import Labels

T = TypeVar("T")

_known: dict[tuple[str, bytes], Labels] = {}


async def measured(operation: str, key: bytes, request: Awaitable[T]) -> T:
    """Await the request. `key` is one of the resource's, or the prefix of all."""
    labels = _labels(operation, key)
    metrics.STORE_REQUESTS.add(labels)
    began = perf_counter()
    try:
        return await request
    except Exception:
        metrics.STORE_ERRORS.add(labels)
        raise
    finally:
        metrics.STORE_DURATIONS.observe(labels, perf_counter() - began)


def _labels(operation: str, key: bytes) -> Labels:
    """Of `/registry/<group>/<resource>/...`."""
    end = key.find(b"/", key.find(b"/", len(b"/registry/")) + 1)
    collection = (operation, key[:end])
    found = _known.get(collection)
    if found is None:
        _, _, group, resource = key[:end].decode().split("/")
        found = _known[collection] = (operation, "" if group == "core" else group, resource)
    return found
