"""`balsa controller-manager` with a few loops, as a process of its own on a harness' apiserver."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.control_plane.apiserver.harness import Harness, stop


@contextmanager
def controller_manager(api: Harness, controllers: str, *flags: str) -> Iterator[None]:
    command = [
        sys.executable, "-m", "cluster.cli", "controller-manager", "--leader-elect=false",
        f"--kubeconfig={api.directory / 'pki' / 'admin.kubeconfig'}",
        f"--controllers={controllers}",
        "--use-service-account-credentials=false",
        "--secure-port=0",
        *flags,
    ]  # fmt: skip
    with (api.directory / "controller-manager.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        stop(process)
