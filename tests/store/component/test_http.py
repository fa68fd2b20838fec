"""The response parser: every framing, cut at every byte."""

from __future__ import annotations

import pytest

from store.component.http_parser import Data, End, Head, HttpEvent, ProtocolError, ResponseParser


def _summary(events: list[HttpEvent]) -> tuple[list[int], bytes, int]:
    statuses = [event.status for event in events if isinstance(event, Head)]
    body = b"".join(event.data for event in events if isinstance(event, Data))
    return statuses, body, sum(isinstance(event, End) for event in events)


CASES = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", [200], b"hello", 1),
    "no body": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [200], b"", 1),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", [204], b"", 1),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        [200],
        b"abc0123456789",
        1,
    ),
    "trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nGrpc-Status: 0\r\n\r\n",
        [200],
        b"x",
        1,
    ),
    "continue first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        [200],
        b"x",
        1,
    ),
    "two in a row": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 503 Busy\r\nContent-Length: 1\r\n\r\nb",
        [200, 503],
        b"ab",
        2,
    ),
}


@pytest.mark.parametrize(("raw", "statuses", "body", "ends"), CASES.values(), ids=CASES)
def test_every_framing_in_any_pieces(raw: bytes, statuses: list[int], body: bytes, ends: int) -> None:
    for size in range(1, len(raw) + 1):
        parser = ResponseParser()
        events: list[HttpEvent] = []
        for start in range(0, len(raw), size):
            events += parser.feed(raw[start : start + size])
        assert _summary(events) == (statuses, body, ends)


def test_a_body_without_length_ends_with_the_connection() -> None:
    parser = ResponseParser()
    events = parser.feed(b"HTTP/1.1 200 OK\r\n\r\nabc")
    assert _summary(events) == ([200], b"abc", 0)
    assert parser.eof() == [End()]


def test_a_cut_body_never_ends() -> None:
    parser = ResponseParser()
    parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
    assert parser.eof() == []


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 70_000,
    ],
    ids=["other protocol", "status", "negative length", "chunk size", "endless head"],
)
def test_nonsense_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        ResponseParser().feed(raw)
