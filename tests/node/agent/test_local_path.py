"""Directories of the built-in provisioner: made when mounted, removed when their volume is to go, else kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from control_plane.client.clock import SystemClock
from node.agent.volumes import local_path
from node.agent.volumes.local_path import LocalVolumes


def volume(
    path: str, *, policy: str = "Delete", phase: str = "Released", deleting: bool = True
) -> dict[str, Any]:
    return {
        "metadata": {"name": Path(path).name, **({"deletionTimestamp": "now"} if deleting else {})},
        "spec": {"hostPath": {"path": path}, "persistentVolumeReclaimPolicy": policy},
        "status": {"phase": phase},
    }


def test_a_directory_is_made_for_everybody(tmp_path: Path) -> None:
    root = tmp_path / "volumes"
    made = local_path.own_directory(volume(f"{root}/pvc-1"), root)
    assert made == root / "pvc-1"
    assert made.stat().st_mode & 0o777 == 0o777


@pytest.mark.parametrize("path", ["/etc/x", "{root}/a/b", "{root}/.."], ids=["elsewhere", "deeper", "above"])
def test_other_paths_are_not_ours(tmp_path: Path, path: str) -> None:
    assert local_path.own_directory(volume(path.format(root=tmp_path)), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("known", "stays", "held"),
    [
        pytest.param({"deleting": False, "phase": "Bound"}, True, "v", id="in use"),
        pytest.param({}, False, "", id="released, to be deleted"),
        pytest.param({"policy": "Retain"}, True, "v", id="retained"),
        pytest.param({"phase": "Bound"}, True, "v", id="deleted while bound"),
        pytest.param(None, True, "", id="volume is gone: its data was retained"),
    ],
)
async def test_look(tmp_path: Path, known: dict[str, Any] | None, stays: bool, held: str) -> None:
    directory = tmp_path / "v"
    directory.mkdir()
    (directory / "data").write_text("x")
    said = ["before"]

    async def read(name: str) -> dict[str, Any] | None:
        return None if known is None else volume(str(directory), **known)

    async def report(names: str) -> None:
        said[0] = names

    await LocalVolumes(tmp_path, read, lambda: said[0], report, SystemClock()).look()
    assert directory.exists() is stays
    assert said == [held]
