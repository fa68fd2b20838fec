"""Envelope encryption with a key management service: by itself, and with a plugin on a unix socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_plane.api.protobuf_wire import delimited
from control_plane.apiserver.storage.encryption.errors import CannotDecrypt
from control_plane.apiserver.storage.encryption.kms import RETRY_S, SEED_TTL_S, STATUS_S, KmsProvider
from control_plane.apiserver.storage.encryption.kms_wire import (
    Broken,
    KmsFailed,
    Sealed,
    decode_map,
    decode_object,
    encode_map,
    encode_object,
    message,
    one,
)
from store.client.errors import Unavailable
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.storage.encryption.test_http import SECRETS, stored

PATH, VALUE = b"/registry/core/secrets/default/a", b'{"kind":"Secret"}'


class FakeService:
    """Keys by their names; the current one encrypts."""

    def __init__(self) -> None:
        self.key_id = "key-1"
        self.health = "ok"
        self.calls: list[str] = []

    async def status(self) -> tuple[str, str, str]:
        if self.health == "down":
            raise KmsFailed("down")
        return "v2", self.health, self.key_id

    async def encrypt(self, uid: str, plaintext: bytes) -> Sealed:
        self.calls.append("encrypt")
        return Sealed(plaintext[::-1], self.key_id, {"a.example.com": b"x"})

    async def decrypt(self, uid: str, sealed: Sealed) -> bytes:
        self.calls.append("decrypt")
        if self.health == "down":
            raise KmsFailed("down")
        assert sealed.annotations == {"a.example.com": b"x"}
        return sealed.source[::-1]


def provider(service: FakeService, now: list[float]) -> KmsProvider:
    return KmsProvider("kms1", "unix:///x", 3.0, service, lambda: now[0])


async def test_values_are_sealed_and_opened() -> None:
    service, now = FakeService(), [0.0]
    writer = provider(service, now)
    assert writer.prefix == b"k8s:enc:kms:v2:kms1:"
    assert await writer.refresh() == STATUS_S
    value = writer.encrypt(VALUE, PATH)
    assert VALUE not in value
    assert writer.decrypt(value, PATH) == VALUE
    with pytest.raises(CannotDecrypt):
        writer.decrypt(value, PATH + b"b")
    reader = provider(service, now)
    with pytest.raises(CannotDecrypt):
        reader.decrypt(value, PATH)
    for each in (value, writer.encrypt(VALUE, PATH)):
        await reader.prepare(each)
    assert reader.decrypt(value, PATH) == VALUE
    assert service.calls == ["encrypt", "decrypt"], "each seed once"


async def test_another_key_makes_what_is_there_stale() -> None:
    service, now = FakeService(), [0.0]
    kms = provider(service, now)
    await kms.refresh()
    value = kms.encrypt(VALUE, PATH)
    assert not kms.is_stale(value)
    service.key_id = "key-2"
    await kms.refresh()
    assert kms.is_stale(value)
    assert not kms.is_stale(kms.encrypt(VALUE, PATH))
    assert kms.decrypt(value, PATH) == VALUE


async def test_a_service_that_is_away() -> None:
    service, now = FakeService(), [0.0]
    kms = provider(service, now)
    with pytest.raises(Unavailable):
        kms.encrypt(VALUE, PATH)
    await kms.refresh()
    value = kms.encrypt(VALUE, PATH)
    service.health = "down"
    assert await kms.refresh() == RETRY_S
    assert kms.check() == "kmsv2 provider kms1: down"
    assert kms.decrypt(kms.encrypt(VALUE, PATH), PATH) == VALUE, "the seed is good for a while"
    now[0] += SEED_TTL_S + 1
    with pytest.raises(Unavailable):
        kms.encrypt(VALUE, PATH)
    with pytest.raises(Unavailable):
        await provider(service, now).prepare(value)
    service.health = "ok"
    assert await kms.refresh() == STATUS_S
    assert kms.check() is None
    assert kms.encrypt(VALUE, PATH)


def test_messages() -> None:
    sealed = Sealed(b"source", "key", {"b.c": b"2", "a.b": b"1" * 300})
    assert decode_object(encode_object(b"data", sealed)) == (b"data", sealed, 1)
    assert decode_map(message(encode_map(b"\x22", sealed.annotations)), 4) == sealed.annotations


@pytest.mark.parametrize(
    "raw", [b"", b"\x0a", b"\x0a\x05ab", b"\xff" * 12, b"\x0d\x00\x00\x00\x00"], ids=repr
)
def test_no_messages(raw: bytes) -> None:
    with pytest.raises(Broken):
        decode_object(raw)


class Plugin:
    """A plugin as its author would run it."""

    def __init__(self, socket: Path) -> None:
        self.key_id = "outside-1"
        self.decrypted = 0
        self._keys = {name: AESGCM(name.encode() * 3 + b"xxxxx") for name in ("outside-1", "outside-2")}
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        methods: dict[str, Callable[[bytes, Any], bytes]] = {
            "Status": self._status,
            "Encrypt": self._encrypt,
            "Decrypt": self._decrypt,
        }
        handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers),)
        )
        self._server.add_insecure_port(f"unix://{socket}")
        self._server.start()

    def _status(self, request: bytes, _: Any) -> bytes:
        return (
            delimited(b"\x0a", b"v2") + delimited(b"\x12", b"ok") + delimited(b"\x1a", self.key_id.encode())
        )

    def _encrypt(self, request: bytes, _: Any) -> bytes:
        sealed = self._keys[self.key_id].encrypt(b"n" * 12, one(message(request), 1), None)
        return delimited(b"\x0a", sealed) + delimited(b"\x12", self.key_id.encode())

    def _decrypt(self, request: bytes, _: Any) -> bytes:
        found = message(request)
        self.decrypted += 1
        key = self._keys[one(found, 3).decode()]
        return delimited(b"\x0a", key.decrypt(b"n" * 12, one(found, 1), None))

    def stop(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Plugin]:
    made = Plugin(tmp_path / "kms.sock")
    yield made
    made.stop()


def test_over_http(plugin: Plugin, tmp_path: Path) -> None:
    kms = {"apiVersion": "v2", "name": "outside", "endpoint": f"unix://{tmp_path}/kms.sock", "timeout": "2s"}
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"kms": kms}, {"identity": {}}]}],
    }
    path = tmp_path / "encryption.yaml"
    path.write_text(yaml.safe_dump(document))
    with Harness(tmp_path, f"--encryption-provider-config={path}") as api:
        assert "[+]kms-providers ok" in api.request("GET", "/readyz?verbose").raw.decode()
        made = api.create(SECRETS, {"metadata": {"name": "a"}, "stringData": {"a": "correct horse"}})
        assert stored(api, "core/secrets/default/a").startswith(b"k8s:enc:kms:v2:outside:")
        plugin.key_id = "outside-2"
        assert api.api_process is not None
        api.api_process.terminate()
        api.api_process.wait(20)
        api.start_api()
        api.wait_ready()
        assert api.get(SECRETS + "/a") == made
        assert plugin.decrypted == 1
        assert api.request("PUT", SECRETS + "/a", made).status == 200
        assert b"outside-2" in stored(api, "core/secrets/default/a"), (
            "an update that changes nothing rewrites it"
        )
