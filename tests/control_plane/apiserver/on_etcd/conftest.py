"""The apiserver on a real etcd: reading, writing, listing and watching as on Balsa's own store.

The tests are those of the modules beside this folder; `BALSA_TEST_STORE=etcd` runs every other on an etcd too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.control_plane.apiserver.harness import Harness


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    if shutil.which("etcd") is None:
        pytest.skip("no etcd on this machine")
    with Harness(tmp_path_factory.mktemp("on-etcd"), store="etcd") as harness:
        yield harness
