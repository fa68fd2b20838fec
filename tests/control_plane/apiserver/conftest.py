from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_plane.apiserver.harness import Harness


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """One apiserver on one store for all black-box tests; each test works in a namespace of its own."""
    directory: Path = tmp_path_factory.mktemp("apiserver")
    with Harness(directory) as harness:
        yield harness


@pytest.fixture
def namespace(api: Harness, request: pytest.FixtureRequest) -> str:
    base = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:40].strip("-")
    name: str = api.create("/api/v1/namespaces", {"metadata": {"generateName": base + "-"}})["metadata"][
        "name"
    ]
    api.create(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    return name
