"""test/e2e/apimachinery/chunking.go"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from typing import Any

import pytest

from certs import tls
from tests.conformance.client import ApiError, Client, Resource
from tests.e2e.conftest import Cluster

Object = dict[str, Any]
TOTAL = 400
WRITERS = 8


@pytest.fixture
def templates(cluster: Cluster, client: Client, namespace: str) -> Resource:
    def make(numbers: range) -> None:
        mine = Client(cluster.kubeconfig)
        of = mine.of("v1", "podtemplates", "PodTemplate", namespace)
        for number in numbers:
            spec = {"containers": [{"name": "test", "image": "test2"}]}
            of.create({"metadata": {"name": f"template-{number:04}"}, "template": {"spec": spec}})
        mine.close()

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(make, [range(start, TOTAL, WRITERS) for start in range(WRITERS)]))
    return client.of("v1", "podtemplates", "PodTemplate", namespace)


def pages(of: Resource, limit: Any, token: str = "") -> Iterator[Object]:
    while True:
        query = {"limit": str(limit())} | ({"continue": token} if token else {})
        page = of.listed(**query)
        yield page
        token = page["metadata"].get("continue", "")
        if not token:
            return


def check(page: Object, found: int) -> int:
    """Names in their order; how many there are with this page."""
    metadata, items = page["metadata"], page["items"]
    if metadata.get("continue"):
        assert metadata["remainingItemCount"] + len(items) + found == TOTAL
    else:
        assert "remainingItemCount" not in metadata
    names = [item["metadata"]["name"] for item in items]
    assert names == [f"template-{number:04}" for number in range(found, found + len(items))]
    return found + len(items)


def test_chunks(templates: Resource) -> None:
    """[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls"""
    source = random.Random(1)
    for _ in range(3):
        found, versions = 0, set()
        for page in pages(templates, lambda: source.randint(1, TOTAL // 10)):
            found = check(page, found)
            versions.add(page["metadata"]["resourceVersion"])
        assert found == TOTAL
        assert len(versions) == 1
    assert len(templates.list(limit=str(TOTAL + 1))) == TOTAL


def test_after_a_compaction(cluster: Cluster, templates: Resource) -> None:
    """[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key
    if the original version has been compacted away, though the list is inconsistent"""
    tenth = TOTAL // 10
    first = templates.listed(limit=str(tenth))
    check(first, 0)
    changed = templates.patch("template-0000", {"metadata": {"labels": {"a": "b"}}})
    compact(cluster, int(changed["metadata"]["resourceVersion"]))
    with pytest.raises(ApiError) as expired:
        templates.listed(limit=str(tenth), **{"continue": first["metadata"]["continue"]})
    assert (expired.value.code, expired.value.reason) == (410, "Expired")
    token = expired.value.status["metadata"]["continue"]
    assert token
    found, versions = tenth, []
    for page in pages(templates, lambda: tenth, token):
        assert len(page["items"]) <= tenth
        found = check(page, found)
        versions.append(page["metadata"]["resourceVersion"])
    assert found == TOTAL
    assert set(versions) == {versions[0]} != {first["metadata"]["resourceVersion"]}


def compact(cluster: Cluster, revision: int) -> None:
    """What the interval of five minutes does; upstream's test waits for it."""
    address = next(
        line.split("'")[1] for line in cluster.balsa("env").splitlines() if "ETCDCTL_ENDPOINTS" in line
    ).split(",")[0]
    pki = cluster.home / "pki"
    context = tls.client_context(pki / "store-ca.crt", pki / "store-client.crt", pki / "store-client.key")
    connection = HTTPSConnection(address.removeprefix("https://"), timeout=10, context=context)
    connection.request("POST", "/v3/kv/compaction", f'{{"revision": "{revision}"}}')
    assert connection.getresponse().status == 200
    connection.close()
