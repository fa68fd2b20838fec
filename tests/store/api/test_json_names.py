"""JSON requests in every spelling that grpc-gateway takes, and the errors for what it does not."""

from __future__ import annotations

import pytest

from store.api import messages as m
from store.api.errors import BadRequest
from store.api.json_names import decode
from store.mvcc.messages import Compare, PutRequest, RangeRequest, Request, TxnRequest

ACCEPTED: dict[str, tuple[type[Request], bytes, Request]] = {
    "nothing": (RangeRequest, b"", RangeRequest()),
    "empty": (RangeRequest, b"{}", RangeRequest()),
    "proto names": (
        RangeRequest,
        b'{"range_end":"eg==","keys_only":true}',
        RangeRequest(range_end=b"z", keys_only=True),
    ),
    "camel case": (
        RangeRequest,
        b'{"rangeEnd":"eg==","keysOnly":true}',
        RangeRequest(range_end=b"z", keys_only=True),
    ),
    "int64 as a string": (PutRequest, b'{"lease":"9223372036854775807"}', PutRequest(lease=2**63 - 1)),
    "int64 as a number": (PutRequest, b'{"lease":9223372036854775807}', PutRequest(lease=2**63 - 1)),
    "enumeration by name": (RangeRequest, b'{"sort_order":"DESCEND"}', RangeRequest(sort_order="DESCEND")),
    "enumeration by number": (RangeRequest, b'{"sortTarget":3}', RangeRequest(sort_target="MOD")),
    "null is unset": (RangeRequest, b'{"key":null,"limit":null}', RangeRequest()),
    "URL-safe base64": (PutRequest, b'{"value":"-_8"}', PutRequest(value=b"\xfb\xff")),
    "nested": (
        TxnRequest,
        b'{"compare":[{"target":2,"modRevision":"5","key":"YQ=="}]}',
        TxnRequest([Compare(target="MOD", key=b"a", mod_revision=5)]),
    ),
    "upper case fields": (m.LeaseGrantRequest, b'{"TTL":"5","ID":7}', m.LeaseGrantRequest(5, 7)),
    "repeated enumeration": (
        m.WatchCreateRequest,
        b'{"filters":[1]}',
        m.WatchCreateRequest(filters=["NODELETE"]),
    ),
}


@pytest.mark.parametrize(("kind", "body", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(kind: type[Request], body: bytes, expected: Request) -> None:
    assert decode(kind, body) == expected


REFUSED = {
    "no JSON": b"{",
    "no object": b"[]",
    "unknown field": b'{"nokey":1}',
    "no base64": b'{"key":"%%%"}',
    "letters of no alphabet for base64": '{"key":"Ⱦ=="}'.encode(),
    "no number": b'{"limit":"many"}',
    "no enumeration": b'{"sort_order":"SIDEWAYS"}',
    "number out of the enumeration": b'{"sort_order":9}',
    "a list for a value": b'{"key":[]}',
    "no UTF-8": b'{"key":"\xff"}',
    "too deep": b'{"key":' * 2000,
    "int64 overflow": b'{"limit":92233720368547758080}',
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(RangeRequest, body)
