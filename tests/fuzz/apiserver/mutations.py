"""The ways in which a request is made wrong: one function each, from a source of randomness to a Mutant. A function
whose outcome can be sound by chance says so, and its request is a dry run."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_from_bytes

import orjson

from control_plane.api import protobuf
from tests.fuzz.apiserver import tunnels
from tests.fuzz.apiserver.requests import (
    COLLECTIONS,
    EXISTING,
    JSON,
    NAMESPACE,
    OBJECTS,
    PROTOBUF,
    YAML,
    Mutant,
    body_of,
    request,
)

Mutation = Callable[[random.Random], Mutant]

WRONG_TYPES: tuple[Any, ...] = (17, -1, 1.5, True, "text", [], ["x"], [[]], {"x": []}, [{"x": None}])
QUERIES = (
    "limit=abc",
    "limit=-9223372036854775809",
    "timeoutSeconds=x",
    "resourceVersion=abc",
    "resourceVersion=-1",
    "resourceVersionMatch=Exact",
    "resourceVersionMatch=Some&resourceVersion=1",
    "resourceVersion=0&resourceVersionMatch=Exact",
    "continue=garbage",
    "continue=e30",
    "continue=bnVsbA",
    "labelSelector=((",
    "labelSelector=a%20in%20(",
    "labelSelector=-a%3Db",
    "fieldSelector=spec.nothing%3Da",
    "fieldSelector=%3D%3D%3D",
    "sendInitialEvents=true",
    "watch=true&resourceVersion=abc",
    "watch=true&sendInitialEvents=true",
)
WRITE_QUERIES = (
    "dryRun=None",
    "fieldValidation=Loose",
    "dryRun=All&dryRun=Some",
    "fieldManager=" + "m" * 129,
)
DELETE_BODIES = (
    b'{"gracePeriodSeconds": "x"}',
    b'{"propagationPolicy": "Sideways"}',
    b'{"kind": "Pod", "apiVersion": "v1"}',
    b'{"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}',
    b'{"dryRun": ["Some"]}',
    b"[]",
    b"{",
)


def garbage(source: random.Random, longest: int = 200) -> bytes:
    return source.randbytes(source.randint(1, longest))


def unknown_path(source: random.Random) -> Mutant:
    start = source.choice(("/api/v1/", "/apis/", "/apis/apps/v1/", f"/api/v1/namespaces/{NAMESPACE}/", "/"))
    return Mutant("unknown path", request("GET", start + quote_from_bytes(garbage(source, 40), safe="/")))


def raw_path(source: random.Random) -> Mutant:
    wrong = source.choice(
        (
            b"/api/v1/..%2f..%2f",
            b"/%",
            b"/%zz",
            b"/%00",
            b"\\",
            b"*",
            b"/\x7f",
        )
    )
    return Mutant("raw path", request("GET", wrong + garbage(source, 6).translate(None, b" \r\n\t#?")))


def long_path(source: random.Random) -> Mutant:
    return Mutant("long path", request("GET", "/api/v1/namespaces/" + "n" * source.randint(300, 200_000)))


def bad_name(source: random.Random) -> Mutant:
    target = source.choice(
        [each for each in COLLECTIONS if not each.endswith("/roles")]
    )  # whose names are freer
    name = source.choice(("A", "-a", "a_b", "a/b", "a" * 254, "", ".", "..", "%", "ä", "a\0", "a b"))
    document = {**OBJECTS[target], "metadata": {"name": name}}
    return Mutant("bad name", request("POST", target, orjson.dumps(document)))


def bad_query(source: random.Random) -> Mutant:
    return Mutant("bad query", request("GET", f"{source.choice(COLLECTIONS)}?{source.choice(QUERIES)}"))


def bad_write_query(source: random.Random) -> Mutant:
    target = source.choice(COLLECTIONS)
    return Mutant(
        "bad write query", request("POST", f"{target}?{source.choice(WRITE_QUERIES)}", body_of(target))
    )


def bad_delete(source: random.Random) -> Mutant:
    return Mutant("bad delete", request("DELETE", EXISTING, source.choice(DELETE_BODIES)))


def bad_media_type(source: random.Random) -> Mutant:
    target = source.choice(COLLECTIONS)
    if source.random() < 0.5:
        kind = source.choice(
            ("text/plain", "application/xml", "a/b; c", "application/json-patch+json", "json")
        )
        return Mutant("unsupported body", request("POST", target, body_of(target), kind))
    accept = source.choice(
        ("text/html", "image/png", "application/cbor;x", "application/json;as=Other;g=a;v=b")
    )
    return Mutant("unsupported answer", request("GET", target, Accept=accept))


def bad_method(source: random.Random) -> Mutant:
    method = source.choice(("FOO", "TRACE", "CONNECT", "PROPFIND", "get", "PUT", "PATCH"))
    return Mutant("bad method", request(method, source.choice(COLLECTIONS)))


def bad_framing(source: random.Random) -> Mutant:
    """Not one request: an answer, then the end of the connection."""
    body, target = b'{"a": 1}', source.choice(COLLECTIONS).encode()
    start = b"POST " + target + b" HTTP/1.1\r\nHost: f\r\nContent-Type: application/json\r\n"
    return Mutant(
        "bad framing",
        source.choice(
            (
                start + b"Content-Length: -1\r\n\r\n" + body,
                start + b"Content-Length: 1x\r\n\r\n" + body,
                start + b"Content-Length: 8\r\nContent-Length: 9\r\n\r\n" + body,
                start + b"Content-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
                start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                start + b"Transfer-Encoding: gzip\r\n\r\n" + body,
                start + b"No colon here\r\n\r\n" + body,
                start + b"Bad\x00Name: x\r\n\r\n" + body,
                b"GET " + target + b" HTTP/9.9\r\n\r\n",
                b"GET " + target + b"\r\n\r\n",
                garbage(source) + b"\r\n\r\n",
            )
        ),
    )


def long_header(source: random.Random) -> Mutant:
    size = source.choice((70_000, 200_000, 1_200_000))
    return Mutant("long header", request("GET", "/api/v1/pods", X_Long="x" * size))


def many_headers(source: random.Random) -> Mutant:
    extra = {f"X_{number}": "x" * 20 for number in range(source.choice((5_000, 40_000)))}
    return Mutant("many headers", request("GET", "/api/v1/pods", **extra))


def cut_json(source: random.Random) -> Mutant:
    target = source.choice(COLLECTIONS)
    body = body_of(target)
    return Mutant("cut JSON", request("POST", target, body[: source.randrange(len(body) - 1)]))


def noisy_json(source: random.Random) -> Mutant:
    target = source.choice(COLLECTIONS)
    body = bytearray(body_of(target))
    for _ in range(source.randint(1, 6)):
        body[source.randrange(len(body))] = source.randrange(256)
    return Mutant("noisy JSON", request("POST", f"{target}?dryRun=All", bytes(body)), must_fail=False)


def odd_json(source: random.Random) -> Mutant:
    body = source.choice(
        (
            b"null",
            b"[]",
            b'"text"',
            b"1",
            b"",
            b"\xff\xfe{}",
            b'{"metadata": NaN}',
            b'{"metadata": {"name": "\xc3\x28"}}',
            b'{"metadata": {"name": "\\ud800"}}',
            b'{"data": {"a": 1e999}}',
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b'{"data": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
            b'{"kind": {"kind": "Pod"}}',
            b'{"apiVersion": "v2", "kind": "Pod"}',
        )
    )
    return Mutant("odd JSON", request("POST", source.choice(COLLECTIONS), body))


def wrong_type(source: random.Random) -> Mutant:
    """Somewhere in a sound object a value of another type; some are taken as they are, so it is a dry run."""
    target = source.choice(COLLECTIONS)
    document = json.loads(body_of(target))
    where = source.choice(list(_places(document)))
    where[0][where[1]] = source.choice(WRONG_TYPES)
    return Mutant(
        "wrong type", request("POST", f"{target}?dryRun=All", orjson.dumps(document)), must_fail=False
    )


def unknown_field(source: random.Random) -> Mutant:
    target = source.choice(COLLECTIONS)
    text = body_of(target)
    extra = source.choice((b'"unknown":1,', b'"kind":"Pod","kind":"Pod",', b'"metadata":{},"metadata":{},'))
    return Mutant(
        "unknown field", request("POST", f"{target}?fieldValidation=Strict", b"{" + extra + text[1:])
    )


def too_large(source: random.Random) -> Mutant:
    document = {**OBJECTS[COLLECTIONS[0]], "data": {"k": "x" * source.choice((3_200_000, 5_000_000))}}
    return Mutant("too large", request("POST", COLLECTIONS[0], orjson.dumps(document)))


def bad_yaml(source: random.Random) -> Mutant:
    levels = "\n".join(
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, source.randint(9, 40))
    )
    body = source.choice(
        (
            f"l0: &l0 lol\n{levels}\n",
            "a: &a [*a]\n",
            "x: !!python/object/apply:os.system ['true']\n",
            "a:\n\t- b\n",
            "- " * 5_000,
            "{" * 5_000,
            "a: b: c: d\n",
            "%YAML 9.9\n---\n",
            "? " * 5_000,
        )
    )
    return Mutant("bad YAML", request("POST", source.choice(COLLECTIONS), body.encode(), YAML))


def yaml_noise(source: random.Random) -> Mutant:
    return Mutant("YAML noise", request("POST", source.choice(COLLECTIONS), garbage(source), YAML))


def bad_protobuf(source: random.Random) -> Mutant:
    target = source.choice(COLLECTIONS)
    sound = protobuf.encode(OBJECTS[target])
    cut = source.randrange(len(sound) - 1)
    body = source.choice(
        (
            sound[:cut],
            b"k8s\0" + garbage(source),
            b"k9s\0" + sound[4:],
            b"k8s\0\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"k8s\0" + b"\x0b" * 10_000,
            b"",
        )
    )
    return Mutant("bad protobuf", request("POST", f"{target}?dryRun=All", body, PROTOBUF), must_fail=False)


def noisy_protobuf(source: random.Random) -> Mutant:
    target = source.choice(COLLECTIONS)
    body = bytearray(protobuf.encode(OBJECTS[target]))
    for _ in range(source.randint(1, 6)):
        body[source.randrange(len(body))] = source.randrange(256)
    return Mutant(
        "noisy protobuf", request("POST", f"{target}?dryRun=All", bytes(body), PROTOBUF), must_fail=False
    )


def bad_patch(source: random.Random) -> Mutant:
    kind, body = source.choice(
        (
            ("json-patch", b"{}"),
            ("json-patch", b'[{"op": "jump", "path": "/data"}]'),
            ("json-patch", b'[{"op": "remove", "path": "/nothing/here"}]'),
            ("json-patch", b'[{"op": "add", "path": "data", "value": 1}]'),
            ("json-patch", b'[{"op": "test", "path": "/data/k", "value": 1}]'),
            ("json-patch", b'[{"op":"add","path":"/data/x","value":"y"},' * 10_001 + b"1]"),
            ("merge-patch", b"[]"),
            ("merge-patch", b'{"metadata": {"name": "other"}}'),
            ("merge-patch", b'{"data": 1}'),
            ("merge-patch", b'{"data": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001),
            ("strategic-merge-patch", b"null"),
            ("strategic-merge-patch", b'{"metadata": {"$patch": "explode"}}'),
            ("strategic-merge-patch", b'{"$deleteFromPrimitiveList/data": 7}'),
            ("apply-patch", b"{}"),
            ("apply-patch", b"a: [\n"),
            ("unknown-patch", b"{}"),
        )
    )
    media = f"application/{kind}+{'yaml' if kind == 'apply-patch' else 'json'}"
    return Mutant("bad patch", request("PATCH", EXISTING, body, media))


def bad_token(source: random.Random) -> Mutant:
    token = source.choice(("x", "a.b.c", "", quote(garbage(source)), "eyJhbGciOiJub25lIn0.e30."))
    return Mutant("bad token", request("GET", "/api/v1/pods", Authorization=f"Bearer {token}"))


def bad_gzip(source: random.Random) -> Mutant:
    target = source.choice(COLLECTIONS)
    data = request("POST", target, b"\x1f\x8b" + garbage(source), JSON, Content_Encoding="gzip")
    return Mutant("bad gzip", data)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, inner in pairs:
        found += [(value, key), *_places(inner)]
    return found


COMMON: tuple[Mutation, ...] = (
    unknown_path,
    raw_path,
    bad_name,
    bad_query,
    bad_write_query,
    bad_delete,
    bad_media_type,
    bad_method,
    bad_framing,
    cut_json,
    noisy_json,
    odd_json,
    wrong_type,
    unknown_field,
    bad_yaml,
    yaml_noise,
    bad_protobuf,
    noisy_protobuf,
    bad_patch,
    bad_gzip,
    tunnels.bad_upgrade,
    tunnels.bad_frames,
)
COSTLY: tuple[Mutation, ...] = (too_large, long_path, long_header, many_headers)
ANONYMOUS: tuple[Mutation, ...] = (bad_token,)
COSTLY_SHARE = 0.01
ANONYMOUS_SHARE = 0.02
