"""Fixtures: a CA, free ports, and clusters of engines in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from certs.ca import CertificateAuthority
from tests.store.raft.cluster import Cluster


@pytest.fixture(scope="session")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("store-ca")


@pytest.fixture
async def cluster(tmp_path: Path, authority: CertificateAuthority) -> AsyncIterator[Cluster]:
    """Three members with real connections and disks, not started."""
    cluster = Cluster(tmp_path, authority, ["a", "b", "c"])
    yield cluster
    await cluster.stop()
