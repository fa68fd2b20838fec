"""The seam between the handlers and the HTTP library: what a request is, what a response is.

Handlers know these types and nothing of the library below, so that the library can be replaced (by a leaner
protocol, by HTTP/2) without touching them. A response is either a body in memory or a stream: a coroutine that
is handed a writer and returns when the stream has ended.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from control_plane.client.streams.duplex import Duplex

MAX_BODY_SIZE_BYTES = 3 * 1024 * 1024  # kube-apiserver's limit for a resource request
MAX_QUERY_FIELDS = 1000

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TEXT = "text/plain; charset=utf-8"

Query = Mapping[str, list[str]]
Write = Callable[[bytes], Awaitable[None]]
Stream = Callable[[Write], Awaitable[None]]
Upgrade = Callable[[Duplex], Awaitable[None]]


class BodyTooLarge(Exception):
    """The body is longer than the caller allowed; the rest of it was not read."""


@dataclass(slots=True)
class Connection:
    """What is known of the client's connection. `memo` lives as long as it: for what is worth computing once."""

    remote: str = ""
    certificate: Mapping[str, Any] | None = None  # verified, as ssl.SSLSocket.getpeercert() parses it
    tls: ssl.SSLObject | None = None
    memo: dict[str, Any] = field(default_factory=dict)

    def certificate_der(self) -> bytes | None:
        """The verified client certificate."""
        return self.tls.getpeercert(binary_form=True) if self.tls is not None else None


@dataclass(slots=True)
class Request:
    method: str
    path: str  # percent-decoded
    raw_query: str
    headers: Mapping[str, str]  # names are case-insensitive
    connection: Connection
    read: Callable[[int], Awaitable[bytes]]  # the body, at most so many bytes; raises BodyTooLarge
    headers_all: Callable[[str], list[str]] = lambda name: []  # every value of a repeated header
    raw_path: str = ""  # as it was sent
    warnings: list[str] = field(default_factory=list)  # for the client, whatever becomes of its request
    waited_s: float = 0.0  # in a queue of priority and fairness
    audit_id: str = ""
    audit_annotations: dict[str, str] = field(default_factory=dict)  # what the audit event says besides
    answer_headers: dict[str, str] = field(default_factory=dict)  # likewise
    on_end: list[Callable[[], None]] = field(
        default_factory=list
    )  # called once it has been answered, or given up
    begun: Callable[[], None] = lambda: None  # called by a watch that has sent what it begins with
    _query: Query | None = None

    @property
    def query(self) -> Query:
        """Raises ValueError for a query with too many fields."""
        if self._query is None:
            self._query = parse_query(self.raw_query)
        return self._query

    def first(self, name: str, default: str = "") -> str:
        values = self.query.get(name)
        return values[0] if values else default

    def content_type(self) -> str:
        """The media type of the body, without its parameters; "" when the client did not say."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


@dataclass(slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    repeated: list[tuple[str, str]] = field(default_factory=list)  # more headers, whose names may be repeated
    stream: Stream | None = None
    upgrade: Upgrade | None = None
    warnings: list[str] = field(default_factory=list)


def parse_query(raw: str) -> Query:
    if not raw:
        return {}
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS):
        query.setdefault(name, []).append(value)
    return query


def parse_flag(value: str) -> bool:
    """How Kubernetes reads a boolean in a query: present is true, unless it says false or 0."""
    return value.lower() not in ("false", "0")
