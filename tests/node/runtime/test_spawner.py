"""The interpreter that forks shims is let go at once, however far it has come."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from node.runtime.process import shim_client
from node.runtime.process.shim_client import Spawner


async def test_one_that_only_begins_to_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shim_client, "_BOOT", "import time; time.sleep(60)")
    spawner = Spawner()
    spawner.start()
    process = spawner._process
    assert process is not None
    began = time.monotonic()
    await spawner.close()
    assert time.monotonic() - began < 2
    assert process.returncode is not None


async def test_nobody_waits_for_its_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The question outlives who asked."""
    spawner = Spawner()
    spawner.start()
    asked = asyncio.ensure_future(spawner.probe(tmp_path))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    (tmp_path / "again").mkdir()
    assert "isolated" in await spawner.probe(tmp_path / "again")
    await spawner.close()
    assert capfd.readouterr().err == ""
