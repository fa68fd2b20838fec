"""The pin: everything private that the adapter touches exists, in exactly the version it was written for."""

from __future__ import annotations

import re
from pathlib import Path

import pysyncobj.syncobj
from pysyncobj.version import VERSION

import store.raft.adapter
from store.raft.adapter import PINNED_VERSION
from tests.store.raft.simulated import SimulatedCluster

PACKAGE = Path(store.raft.adapter.__file__).parent
PRIVATE = re.compile(r"_SyncObj__(\w+)")


def test_the_pinned_version_is_installed_and_declared() -> None:
    assert VERSION == PINNED_VERSION, "read the new version's sources, then change the pin and this test"
    project = (PACKAGE.parent.parent / "pyproject.toml").read_text()
    assert f'"pysyncobj=={PINNED_VERSION}"' in project


def test_every_private_name_in_use_is_one_of_the_packages() -> None:
    stock = Path(pysyncobj.syncobj.__file__).read_text()
    used = set(PRIVATE.findall((PACKAGE / "adapter.py").read_text()))
    assert used
    assert [name for name in sorted(used) if not re.search(rf"\b__{name}\b", stock)] == []


def test_no_other_file_touches_pysyncobj() -> None:
    for path in PACKAGE.glob("*.py"):
        if path.name != "adapter.py":
            assert "_SyncObj__" not in path.read_text(), path
        if path.name not in ("adapter.py", "stock.py"):
            assert not re.search(r"^\s*(import|from) pysyncobj", path.read_text(), re.MULTILINE), path


def test_the_package_is_left_as_it_was() -> None:
    before = pysyncobj.syncobj.createJournal, pysyncobj.syncobj.monotonicTime
    cluster = SimulatedCluster("ABC")
    cluster.run(3)
    assert (pysyncobj.syncobj.createJournal, pysyncobj.syncobj.monotonicTime) == before
