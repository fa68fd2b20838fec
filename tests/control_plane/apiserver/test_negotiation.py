"""Which form an Accept header gets."""

from __future__ import annotations

import zlib

import pytest

from control_plane.api import protobuf
from control_plane.api.errors import StatusError
from control_plane.apiserver.negotiation import Target, accepts_gzip, gzip, negotiate
from tests.control_plane.apiserver.harness import Harness

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", Target()),
        ("*/*", Target()),
        ("application/json, */*", Target()),
        (f"{TABLE},{JSON}", Target(JSON, "Table", "v1")),
        (f"{JSON};as=Table;v=v9;g=meta.k8s.io,{JSON}", Target()),
        (f"{JSON};as=Table;v=v1;g=other,{JSON}", Target()),
        (f"{PROTOBUF},{JSON}", Target(PROTOBUF)),
        (f"{PROTOBUF}, */*", Target(PROTOBUF)),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,{TABLE}", Target(JSON, "Table", "v1")),
        (f"{JSON};q=0.5,{YAML}", Target(YAML)),
        (f"{PROTOBUF};stream=watch", Target(PROTOBUF, stream=True)),
        (
            f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Target(PROTOBUF, "PartialObjectMetadataList", "v1"),
        ),
    ],
)
def test_negotiate(header: str, target: Target) -> None:
    assert negotiate(header) == target


@pytest.mark.parametrize("header", ["text/html", f"{JSON};as=Nothing;v=v1;g=meta.k8s.io"])
def test_nothing_acceptable(header: str) -> None:
    with pytest.raises(StatusError) as refused:
        negotiate(header)
    assert (refused.value.code, refused.value.reason) == (406, "NotAcceptable")


@pytest.mark.parametrize(
    ("header", "accepted"), [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("", False)]
)
def test_accepts_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


def test_gzip_round_trip() -> None:
    body = b"0123456789" * 100_000
    assert zlib.decompress(gzip(body), wbits=31) == body


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("application/vnd.kubernetes.protobuf", PROTOBUF),
        ("application/vnd.kubernetes.protobuf,application/json", PROTOBUF),
        ("application/json,application/vnd.kubernetes.protobuf", JSON),
        ("text/html, application/vnd.kubernetes.protobuf;q=0.5", PROTOBUF),
        ("", JSON),
        ("text/html", JSON),
    ],
)
def test_errors_in_the_form_that_is_asked_for(api: Harness, accept: str, answered: str) -> None:
    headers = {"Accept": accept} if accept else {}
    refused = api.request("GET", "/api/v1/namespaces/default/configmaps/nope", headers=headers)
    assert refused.headers["content-type"] == answered
    body = protobuf.decode(refused.raw)[2] if answered == PROTOBUF else refused.body
    expected = (404, "NotFound") if accept != "text/html" else (406, "NotAcceptable")
    assert (refused.status, body["code"], body["reason"]) == (expected[0], *expected)
