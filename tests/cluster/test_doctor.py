"""`balsa doctor`: what it finds, and what it says where less is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import cli, doctor
from cluster.doctor import Finding
from cluster.home import Home
from node.network.fabric import Capabilities, Mode
from node.runtime.process.limits import Limiter


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "none")


def test_a_line_for_each_question(home: Home) -> None:
    assert [each.what for each in doctor.examine(home)] == [
        "network", "isolation", "limits", "kubectl", "disk",
    ]  # fmt: skip
    assert not home.root.exists()


def test_what_is_well_and_what_is_not() -> None:
    assert list(Finding("limits", "cgroup v2").lines()) == ["✓ limits    cgroup v2"]
    assert list(Finding("limits", "rlimits", ("no throttling",)).lines()) == [
        "! limits    rlimits",
        "            no throttling",
    ]


def test_without_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = ("not root", "user namespaces cannot be used: no")
    monkeypatch.setattr(doctor.fabric, "capabilities", lambda: Capabilities(Mode.NONE, reasons))
    found = doctor._network()
    assert found.but[:2] == reasons
    assert "POD_IP" in found.but[2]


def test_without_control_groups(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    monkeypatch.setattr(doctor.limits, "detect", lambda _: Limiter(0))
    assert "CPU limits and requests are not enforced" in doctor._limits(home).but[1]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param(None, "is not installed", id="none"),
        pytest.param('echo \'{"clientVersion": {"minor": "33+"}}\'', "is 1.33", id="new"),
        pytest.param('echo \'{"clientVersion": {"minor": "20"}}\'', "is 1.20", id="old"),
        pytest.param("exit 1", "kubectl", id="broken"),
    ],
)
def test_kubectl(script: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if script is not None:
        (tmp_path / "kubectl").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    found = doctor.kubectl()
    assert says in found.how
    assert bool(found.but) is (says != "is 1.33")


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert "limits" in capsys.readouterr().out
