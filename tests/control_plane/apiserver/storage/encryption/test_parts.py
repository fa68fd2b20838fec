"""Keys, their order, the resources they are for, and the file that says so."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_plane.apiserver.storage.encryption.client import Values
from control_plane.apiserver.storage.encryption.configuration import load
from control_plane.apiserver.storage.encryption.errors import BadConfiguration, CannotDecrypt
from control_plane.apiserver.storage.encryption.providers import AesCbc, AesGcm, Identity, Provider, Secretbox
from control_plane.apiserver.storage.encryption.reload import Encryption
from control_plane.apiserver.storage.encryption.transformer import Transformer
from store.client.types import Event, KeyValue, Op, PutOp, RangeResponse, TxnResponse

Object = dict[str, Any]

PATH = b"/registry/core/secrets/default/a"
VALUE = b'{"apiVersion":"v1","kind":"Secret","data":{"a":"Y29ycmVjdCBob3JzZQ=="}}'
KEY = bytes(range(32))
PROVIDERS: list[Provider] = [AesGcm("k", KEY), AesGcm("k", KEY[:16]), AesCbc("k", KEY), Secretbox("k", KEY)]
IDS = ["aesgcm", "aesgcm 128", "aescbc", "secretbox"]


@pytest.mark.parametrize("provider", PROVIDERS, ids=IDS)
@pytest.mark.parametrize(
    "value", [VALUE, b"", b"x" * 16, b"y" * 100_000], ids=["json", "empty", "block", "large"]
)
def test_what_is_encrypted_is_read_again(provider: Provider, value: bytes) -> None:
    transformer = Transformer([provider])
    stored = transformer.encrypt(value, PATH)
    assert stored.startswith(provider.prefix)
    assert not value or value[:64] not in stored
    assert stored != transformer.encrypt(value, PATH), "each time with another nonce"
    assert transformer.decrypt(stored, PATH) == (value, False)


@pytest.mark.parametrize("provider", PROVIDERS, ids=IDS)
@pytest.mark.parametrize("cut", [0, 5, 20, 40], ids=str)
def test_what_is_damaged_is_refused(provider: Provider, cut: int) -> None:
    stored = provider.encrypt(VALUE, PATH)[:cut]
    with pytest.raises(CannotDecrypt):
        provider.decrypt(stored, PATH)


@pytest.mark.parametrize("provider", [PROVIDERS[0], PROVIDERS[3]], ids=["aesgcm", "secretbox"])
def test_what_is_changed_is_refused(provider: Provider) -> None:
    stored = bytearray(provider.encrypt(VALUE, PATH))
    stored[-1] ^= 1
    with pytest.raises(CannotDecrypt):
        provider.decrypt(bytes(stored), PATH)


def test_a_value_copied_to_another_key_is_refused() -> None:
    stored = PROVIDERS[0].encrypt(VALUE, PATH)
    with pytest.raises(CannotDecrypt):
        PROVIDERS[0].decrypt(stored, b"/registry/core/secrets/default/b")


def test_the_form_is_kubernetes_own() -> None:
    stored = Transformer([AesGcm("key1", KEY)]).encrypt(VALUE, PATH)
    prefix = b"k8s:enc:aesgcm:v1:key1:"
    assert stored.startswith(prefix)
    nonce, sealed = stored[len(prefix) :][:12], stored[len(prefix) + 12 :]
    assert AESGCM(KEY).decrypt(nonce, sealed, PATH) == VALUE


def test_rotation() -> None:
    old, new = AesGcm("old", KEY), AesGcm("new", KEY[::-1])
    stored = Transformer([old]).encrypt(VALUE, PATH)
    assert Transformer([new, old]).decrypt(stored, PATH) == (VALUE, True)
    assert Transformer([new, Identity()]).decrypt(VALUE, PATH) == (VALUE, True)
    assert Transformer([Identity(), old]).decrypt(stored, PATH) == (VALUE, True)
    renamed = [AesGcm("old", KEY[::-1]), old]
    assert Transformer(renamed).decrypt(stored, PATH) == (VALUE, True), "two keys of one name"
    with pytest.raises(CannotDecrypt, match="no matching prefix"):
        Transformer([new]).decrypt(stored, PATH)
    with pytest.raises(CannotDecrypt):
        Transformer([Identity()]).decrypt(stored, PATH)


def secret(size: int = 32) -> str:
    return b64encode(KEY[:size]).decode()


def configuration(*entries: tuple[list[str], list[Object]]) -> Object:
    resources = [{"resources": names, "providers": providers} for names, providers in entries]
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    return {**head, "resources": resources}


def aesgcm(name: str = "key1", value: str = "") -> Object:
    return {"aesgcm": {"keys": [{"name": name, "secret": value or secret()}]}}


IDENTITY: Object = {"identity": {}}


@pytest.mark.parametrize(
    ("names", "path", "encrypted"),
    [
        (["secrets"], "core/secrets/x/a", True),
        (["secrets"], "core/configmaps/x/a", False),
        (["deployments.apps"], "apps/deployments/x/a", True),
        (["*.apps"], "apps/deployments/x/a", True),
        (["*.apps"], "batch/jobs/x/a", False),
        (["*."], "core/nodes/a", True),
        (["*."], "apps/deployments/x/a", False),
        (["*.*"], "example.com/foos/x/a", True),
        (["*.*"], "ranges/nodeports/30000", False),
    ],
    ids=str,
)
def test_resources(names: list[str], path: str, encrypted: bool) -> None:
    transformers = load(yaml.safe_dump(configuration((names, [aesgcm()]))).encode())
    assert (transformers.of(f"/registry/{path}".encode()) is not None) is encrypted


def test_the_first_entry_counts() -> None:
    entries = (["secrets"], [aesgcm("own")]), (["*.*"], [aesgcm("others")]), (["configmaps"], [IDENTITY])
    transformers = load(yaml.safe_dump(configuration(*entries)).encode())
    for path, name in ((PATH, b"own"), (b"/registry/core/configmaps/x/a", b"others")):
        found = transformers.of(path)
        assert found is not None
        assert found.encrypt(VALUE, path).startswith(b"k8s:enc:aesgcm:v1:" + name)


KMS: Object = {"name": "k", "endpoint": "unix:///tmp/k", "apiVersion": "v2"}
BAD: list[tuple[Object, str]] = [
    ({}, "is no EncryptionConfiguration"),
    ({**configuration(), "apiVersion": "v2"}, "apiVersion must be"),
    (configuration(), "at least one resources"),
    (configuration(([], [IDENTITY])), "resources[0].resources"),
    (configuration((["secrets"], [])), "resources[0].providers"),
    (configuration((["secrets"], [{}])), "any of the expected providers"),
    (configuration((["secrets"], [{**IDENTITY, **aesgcm()}])), "more than one provider"),
    (configuration((["secrets"], [{"kms": {"name": "k"}}])), "endpoint is a mandatory field"),
    (configuration((["secrets"], [{"kms": {**KMS, "endpoint": "tcp://a"}}])), "only unix is supported"),
    (configuration((["secrets"], [{"kms": {**KMS, "apiVersion": "v1"}}])), "only v2 is supported"),
    (configuration((["secrets"], [{"kms": {**KMS, "name": "a:b"}}])), "must not contain ':'"),
    (configuration((["secrets"], [{"kms": KMS}]), (["pods"], [{"kms": KMS}])), "duplicate KMS provider name"),
    (configuration((["secrets"], [{"kms": {**KMS, "timeout": "x"}}])), "should be a positive value"),
    (configuration((["secrets"], [{"aesgcm": {"keys": []}}])), "at least one keys"),
    (configuration((["secrets"], [{"aesgcm": {"keys": [{"secret": secret()}]}}])), "name is a mandatory"),
    (configuration((["secrets"], [aesgcm(value="???")])), "must be base64"),
    (configuration((["secrets"], [aesgcm(value=secret(20))])), "got 20, expected one of [16 24 32]"),
    (configuration((["Secrets"], [IDENTITY])), "capital letters"),
    (configuration((["*"], [IDENTITY])), "use '*.'"),
    (configuration((["secrets", "*."], [IDENTITY])), "overlapping resources"),
    (configuration((["secrets", "secrets"], [IDENTITY])), "multiple times"),
    (configuration((["events.events.k8s.io"], [IDENTITY])), "Use 'events' instead"),
    (configuration((["jobs.*"], [IDENTITY])), "across groups"),
]


@pytest.mark.parametrize(("document", "why"), BAD, ids=[why for _, why in BAD])
def test_bad_files(document: Object, why: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(yaml.safe_dump(document).encode())
    assert why in str(caught.value)
    assert secret(20) not in str(caught.value)


def values() -> Values:
    return Values(load(yaml.safe_dump(configuration((["secrets"], [aesgcm(), IDENTITY]))).encode()))


def test_values_of_every_operation() -> None:
    known = values()
    put = known.encrypted(Op.txn((), [Op.put(PATH, VALUE), Op.delete(PATH)], [Op.range(PATH)]))
    assert isinstance(put, Op.txn)
    written = put.success[0]
    assert isinstance(written, PutOp)
    assert written.value.startswith(b"k8s:enc:")
    kv = KeyValue(key=PATH, value=written.value, mod_revision=7)
    answer = known.answered(TxnResponse(9, True, [RangeResponse(9, [kv])]))
    assert answer.responses[0].kvs == [KeyValue(key=PATH, value=VALUE, mod_revision=7)]
    assert known.event(Event(kv, "PUT", kv)).prev_kv == KeyValue(key=PATH, value=VALUE, mod_revision=7)
    assert not known.is_stale(kv)
    assert known.is_stale(KeyValue(key=PATH, value=VALUE))


def test_what_cannot_be_read_makes_the_server_unready() -> None:
    known = values()
    strange = KeyValue(key=PATH, value=b"k8s:enc:aesgcm:v1:lost:" + b"x" * 40)
    assert known.decrypted(strange) == strange
    assert known.check() == "1 values of the store cannot be decrypted"
    known.event(Event(KeyValue(key=PATH), "DELETE"))
    assert known.check() is None


def test_a_bad_file_keeps_the_keys_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "encryption.yaml"
    path.write_text(yaml.safe_dump(configuration((["secrets"], [aesgcm()]))))
    encryption = Encryption(path)
    before = encryption.values.transformers
    assert not encryption.check()
    path.write_text("nonsense")
    assert not encryption.check()
    assert encryption.values.transformers is before
    path.write_text(yaml.safe_dump(configuration((["secrets"], [aesgcm("key2")]))))
    assert encryption.check()
    assert encryption.values.encrypt(PATH, VALUE).startswith(b"k8s:enc:aesgcm:v1:key2:")
    path.unlink()
    assert not encryption.check()
