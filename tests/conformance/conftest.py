"""One cluster for the whole folder; each test works in a namespace of its own, which is deleted afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.client import Client
from tests.e2e.conftest import Cluster, cluster, until

__all__ = ["cluster"]


@pytest.fixture(scope="session")
def client(cluster: Cluster) -> Iterator[Client]:
    """The administrator's typed client: protobuf."""
    made = Client(cluster.kubeconfig)
    yield made
    made.close()


@pytest.fixture(scope="session")
def dynamic(cluster: Cluster) -> Iterator[Client]:
    """The administrator's dynamic client: JSON."""
    made = Client(cluster.kubeconfig, dynamic=True)
    yield made
    made.close()


@pytest.fixture
def new_namespace(client: Client) -> Iterator[Callable[..., str]]:
    """Makes a namespace that is ready for pods; all that a test makes are deleted after it."""
    namespaces = client.of("v1", "namespaces", "Namespace")
    made: list[str] = []

    def make(**labels: str) -> str:
        name: str = namespaces.create({"metadata": {"generateName": "e2e-", "labels": labels}})["metadata"][
            "name"
        ]
        made.append(name)
        accounts = client.of("v1", "serviceaccounts", "ServiceAccount", name)
        until("the default service account", lambda: accounts.exists("default"))
        roots = client.of("v1", "configmaps", "ConfigMap", name)
        until("the root certificate", lambda: roots.exists("kube-root-ca.crt"))
        return name

    yield make
    for name in made:
        namespaces.delete(name)


@pytest.fixture
def namespace(new_namespace: Callable[..., str]) -> str:
    return new_namespace()
