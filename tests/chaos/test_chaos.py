"""A short run with real processes; `make chaos ARGS=--minutes=30` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import Chaos

SECONDS = 20
REST_S = 1.5
WORKERS = 9


@pytest.mark.slow
@pytest.mark.cluster
async def test_faults_under_load(tmp_path: Path) -> None:
    report = await Chaos(tmp_path, seed=7, seconds=SECONDS, rest_s=REST_S, workers=WORKERS).run()
    print(report.text())
    assert report.operations > 500
    assert len(report.episodes) >= 3
