"""The present span of a request. Without tracing there is none, and every call here is one look at a variable.

A span is what the exporter makes of it; the rest of the server knows `child` and `outgoing` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"


class Span(Protocol):
    def child(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Span]: ...

    def headers(self) -> Mapping[str, str]:
        """What tells another server of this span."""


CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)


@contextmanager
def child(name: str, attributes: Mapping[str, str]) -> Iterator[None]:
    """Something that is done for the present request."""
    parent = CURRENT.get()
    if parent is None:
        yield
        return
    with parent.child(name, attributes) as span, entered(span):
        yield


@contextmanager
def entered(span: Span) -> Iterator[None]:
    token = CURRENT.set(span)
    try:
        yield
    finally:
        CURRENT.reset(token)


def outgoing() -> Mapping[str, str]:
    """Headers for a request to another server."""
    span = CURRENT.get()
    return span.headers() if span is not None else {}
