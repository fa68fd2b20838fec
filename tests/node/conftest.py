"""A fabric of the test's own, where namespaces can be made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node import linux
from node.network.fabric import Fabric


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Fabric]:
    if not linux.is_capable(linux.CAP_SYS_ADMIN, linux.CAP_NET_ADMIN):
        pytest.skip("namespaces need root or a user namespace; tests/node/test_as_user.py runs this in one")
    made = Fabric.create(tmp_path / "network")
    try:
        yield made
    finally:
        made.destroy()
