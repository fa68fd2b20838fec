"""What a request to the store is counted as, and that it carries the trace of who asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from control_plane.apiserver import metrics
from control_plane.apiserver.storage.measuring import measured
from control_plane.apiserver.tracing.context import Span, entered
from store.client.errors import Unavailable
from store.client.transport import EXTRA_HEADERS

KEY = b"/registry/apps/deployments/default/a"
LABELS = ("update", "apps", "deployments")


class Recorded:
    """A span that keeps the names of its children."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @contextmanager
    def child(self, name: str, attributes: Mapping[str, str]) -> Iterator[Span]:
        self.names.append(f"{name} {attributes['resource']}")
        yield self

    def headers(self) -> Mapping[str, str]:
        return {"traceparent": "00-1-2-01"}


async def sent() -> bytes:
    return EXTRA_HEADERS.get()


async def test_a_traced_request_goes_on_in_the_store() -> None:
    span = Recorded()
    assert await measured("update", KEY, sent()) == b""
    with entered(span):
        assert await measured("update", KEY, sent()) == b"traceparent: 00-1-2-01\r\n"
    assert await sent() == b""
    assert span.names == ["etcd update deployments"]


async def test_requests_and_failures_are_counted() -> None:
    async def fails() -> None:
        raise Unavailable("gone")

    counted = (metrics.STORE_REQUESTS, metrics.STORE_ERRORS)
    before = [each.values.get(LABELS, 0) for each in counted]
    await measured("update", KEY, sent())
    with pytest.raises(Unavailable):
        await measured("update", KEY, fails())
    assert [each.values[LABELS] for each in counted] == [before[0] + 2, before[1] + 1]
