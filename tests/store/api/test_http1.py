"""The server's HTTP/1.1: requests cut anywhere, streams, and everything that must be refused."""

from __future__ import annotations

import contextlib

import hypothesis.strategies as st
import pytest
from hypothesis import given

from store.api.http1_parser import BadHttp, Body, EndOfBody, Event, Request, RequestParser

STREAMS = frozenset({b"/stream"})


def parse(raw: bytes, size: int | None = None) -> list[Event]:
    parser = RequestParser(STREAMS)
    events: list[Event] = []
    for start in range(0, len(raw), size or len(raw)):
        parser.feed(raw[start : start + (size or len(raw))])
        while (event := parser.next_event()) is not None:
            events.append(event)
    return events


def summary(events: list[Event]) -> list[object]:
    told: list[object] = []
    for event in events:
        match event:
            case Request():
                told.append((event.method, event.path, event.body, event.keep_alive))
            case Body():
                if told and isinstance(told[-1], bytes):
                    told[-1] += event.data
                else:
                    told.append(event.data)
            case EndOfBody():
                told.append("end")
    return told


GOOD = {
    "get": (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", [(b"GET", b"/health", b"", True)]),
    "query is dropped": (b"GET /health?a=b HTTP/1.1\r\n\r\n", [(b"GET", b"/health", b"", True)]),
    "post": (
        b"POST /v3/kv/put HTTP/1.1\r\ncontent-LENGTH: 2\r\n\r\n{}",
        [(b"POST", b"/v3/kv/put", b"{}", True)],
    ),
    "close": (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", [(b"GET", b"/", b"", False)]),
    "old": (b"GET / HTTP/1.0\r\n\r\n", [(b"GET", b"/", b"", False)]),
    "chunked": (
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\nT: v\r\n\r\n",
        [(b"POST", b"/x", b"abc", True)],
    ),
    "pipelined": (
        b"POST /x HTTP/1.1\r\nContent-Length: 1\r\n\r\naGET /y HTTP/1.1\r\n\r\n",
        [(b"POST", b"/x", b"a", True), (b"GET", b"/y", b"", True)],
    ),
    "stream": (
        b"POST /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        [(b"POST", b"/stream", b"", True), b"abcd", "end"],
    ),
    "stream with a length": (
        b"POST /stream HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd",
        [(b"POST", b"/stream", b"", True), b"abcd", "end"],
    ),
}


@pytest.mark.parametrize(("raw", "expected"), GOOD.values(), ids=GOOD)
def test_requests_in_any_pieces(raw: bytes, expected: list[object]) -> None:
    for size in range(1, len(raw) + 1):
        assert summary(parse(raw, size)) == expected


BAD = {
    "no HTTP": (b"\x16\x03\x01\x02\r\n\r\n", 400),
    "other version": (b"GET / HTTP/2.0\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400),
    "space in a name": (b"GET / HTTP/1.1\r\nContent-Length : 1\r\n\r\n", 400),
    "folded header": (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "length and chunks": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "other encoding": (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
    "negative length": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    "length with a sign": (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
    "long body": (b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", 413),
    "long head": (b"GET / HTTP/1.1\r\nA: " + b"b" * 40_000, 431),
    "chunk size": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    "chunk without end": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", 400),
    "endless chunk line": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 300, 400),
}


@pytest.mark.parametrize(("raw", "status"), BAD.values(), ids=BAD)
def test_what_is_no_request_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(BadHttp) as caught:
        parse(raw)
    assert caught.value.status == status


@given(raw=st.binary(max_size=400) | st.text("GEPOST/ HTTP1.:\r\n-chunked", max_size=300).map(str.encode))
def test_no_bytes_crash_the_parser(raw: bytes) -> None:
    parser = RequestParser(STREAMS)
    parser.feed(raw)
    with contextlib.suppress(BadHttp):
        while parser.next_event() is not None:
            pass
