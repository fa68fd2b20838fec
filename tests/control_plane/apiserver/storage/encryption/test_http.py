"""Encryption at rest of a server: what its clients see, and what lies in its store."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs import tls
from tests.control_plane.apiserver.harness import Harness, stop

SECRETS = "/api/v1/namespaces/default/secrets"
DEADLINE_S = 15.0


def key(name: str, byte: int) -> dict[str, Any]:
    return {"name": name, "secret": base64.b64encode(bytes([byte]) * 32).decode()}


def write_config(directory: Path, *providers: dict[str, Any]) -> Path:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {"resources": ["secrets"], "providers": list(providers)},
            {"resources": ["*.apps"], "providers": [{"secretbox": {"keys": [key("box", 9)]}}]},
        ],
    }
    path = directory / "encryption.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Harness]:
    path = write_config(tmp_path, {"aesgcm": {"keys": [key("one", 1)]}}, {"identity": {}})
    flags = (f"--encryption-provider-config={path}", "--encryption-provider-config-automatic-reload")
    with Harness(tmp_path, *flags) as harness:
        yield harness


def stored(api: Harness, path: str) -> bytes:
    """What the store has, asked of the store itself."""
    pki = api.directory / "pki"
    context = tls.client_context(pki / "store-ca.crt", pki / "store-client.crt", pki / "store-client.key")
    with closing(
        HTTPSConnection(api.endpoints.removeprefix("https://"), timeout=10, context=context)
    ) as asked:
        wanted = base64.b64encode(f"/registry/{path}".encode()).decode()
        asked.request("POST", "/v3/kv/range", json.dumps({"key": wanted}))
        return base64.b64decode(json.loads(asked.getresponse().read())["kvs"][0]["value"])


def until(condition: Callable[[], Any]) -> Any:
    ends = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.05)
    return found


def test_no_plaintext_reaches_the_store(encrypted: Harness) -> None:
    sent = {"metadata": {"name": "a"}, "stringData": {"password": "correct horse battery staple"}}
    made = encrypted.create(SECRETS, sent)
    assert stored(encrypted, "core/secrets/default/a").startswith(b"k8s:enc:aesgcm:v1:one:")
    assert encrypted.get(SECRETS + "/a") == made
    with closing(encrypted.connection()) as connection:
        version = made["metadata"]["resourceVersion"]
        connection.request("GET", f"{SECRETS}?watch=true&resourceVersion={version}&timeoutSeconds=10")
        response = connection.getresponse()
        encrypted.request(
            "PATCH",
            SECRETS + "/a",
            {"metadata": {"labels": {"a": "b"}}},
            {"Content-Type": "application/merge-patch+json"},
        )
        event = json.loads(response.readline())
    assert event["object"]["data"] == made["data"]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    encrypted.create(
        "/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": "d"}, "spec": spec}
    )
    assert stored(encrypted, "apps/deployments/default/d").startswith(b"k8s:enc:secretbox:v1:box:")
    encrypted.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "plain"}})
    assert stored(encrypted, "core/configmaps/default/plain").startswith(b"{")
    files = [path for path in (encrypted.directory / "store").rglob("*") if path.is_file()]
    secret = base64.b64encode(b"correct horse battery staple")
    assert files
    assert not any(word in path.read_bytes() for path in files for word in (b"correct horse", secret))


def test_keys_are_rotated(encrypted: Harness) -> None:
    encrypted.create(SECRETS, {"metadata": {"name": "a"}, "stringData": {"a": "b"}})
    both = {"aesgcm": {"keys": [key("two", 2), key("one", 1)]}}
    write_config(encrypted.directory, both, {"identity": {}})

    def reloaded() -> bool:
        metrics = encrypted.request("GET", "/metrics").raw.decode()
        return 'automatic_reloads_total{status="success"} 1.0' in metrics

    until(reloaded)
    before = encrypted.get(SECRETS + "/a")
    assert encrypted.request("PUT", SECRETS + "/a", before).status == 200
    assert stored(encrypted, "core/secrets/default/a").startswith(b"k8s:enc:aesgcm:v1:two:")
    after = encrypted.get(SECRETS + "/a")
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    again = encrypted.request("PUT", SECRETS + "/a", after)
    assert again.body["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"], "nothing to do"
    write_config(encrypted.directory, {"aesgcm": {"keys": [key("two", 2)]}})
    assert encrypted.api_process is not None
    stop(encrypted.api_process)
    encrypted.start_api()
    encrypted.wait_ready()
    assert encrypted.get(SECRETS + "/a")["data"] == before["data"]


def test_a_lost_key_makes_the_server_unready(encrypted: Harness) -> None:
    encrypted.create(SECRETS, {"metadata": {"name": "a"}, "stringData": {"a": "b"}})
    write_config(encrypted.directory, {"aesgcm": {"keys": [key("two", 2)]}})
    assert encrypted.api_process is not None
    stop(encrypted.api_process)
    encrypted.start_api()

    def said() -> str:
        try:
            return encrypted.request("GET", "/readyz?verbose").raw.decode()
        except OSError:
            return ""

    until(lambda: "[-]encryption-provider-config failed" in said())
    write_config(encrypted.directory, {"aesgcm": {"keys": [key("two", 2), key("one", 1)]}})
    encrypted.wait_ready()
    until(lambda: encrypted.request("GET", SECRETS + "/a").status == 200)


def test_a_bad_configuration_ends_the_start(tmp_path: Path) -> None:
    path = write_config(tmp_path, {"kms": {"name": "k", "endpoint": "unix:///tmp/k", "apiVersion": "v1"}})
    with (
        pytest.raises(RuntimeError, match="only v2 is supported"),
        Harness(tmp_path, f"--encryption-provider-config={path}"),
    ):
        pass
