"""The same suites again, as a user without any capability."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from node.runtime.process.shim.probe import INITIAL_USER_NAMESPACE

ROOT = Path(__file__).resolve().parents[2]
USER = "nobody"
HERE = "tests/node"


def _python() -> list[str]:
    """An interpreter that the other user may run; ours may live in root's home."""
    packages = sysconfig.get_paths()["purelib"]
    same = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(same, path="/usr/local/bin:/usr/bin")):
        if candidate and _as_user([candidate, "-c", "pass"]).returncode == 0:
            return [
                "env",
                f"PYTHONPATH={ROOT}:{packages}",
                "PYTHONDONTWRITEBYTECODE=1",
                "HOME=/tmp",
                candidate,
            ]
    pytest.skip(f"user {USER} can run no {same} here")


def _as_user(command: list[str]) -> subprocess.CompletedProcess[str]:
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*prefix, *command], capture_output=True, text=True, cwd=ROOT, timeout=170, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("enter", "suites"),
    [
        pytest.param(
            ["--enter"],
            [f"{HERE}/runtime", f"{HERE}/network", f"{HERE}/proxy"],
            id="user-namespace-of-the-cluster",
        ),
        pytest.param([], [f"{HERE}/runtime"], id="user-namespace-of-each-pod"),
    ],
)
def test_as_an_ordinary_user(enter: list[str], suites: list[str]) -> None:
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("there is no runuser to become an ordinary user with")
    if str(Path("/proc/self/ns/user").readlink()) != INITIAL_USER_NAMESPACE:
        pytest.skip("this is a user namespace already")
    if not (ROOT / HERE).exists():
        pytest.skip("the tests are not in a checkout")
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:cov"]
    done = _as_user([*_python(), "-m", "tests.node.as_user", *enter, *options, *suites])
    if "user namespaces cannot be used" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
