"""A cluster in a directory of its own for the time of a benchmark."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster import network, up
from cluster.home import Home

ONE_OF_EACH = {"stores": 1, "apiservers": 1, "schedulers": 1, "controller_managers": 1}
"""What the peer was measured with: its figures are of one etcd and one process of every other kind."""


@contextmanager
def fresh_home() -> Iterator[Home]:
    """On the disk that the checkout is on, since a memory file system would make every sync free."""
    directory = Path(tempfile.mkdtemp(prefix=".bench-", dir=Path(__file__).parents[2]))
    home = Home(directory)
    try:
        yield home
    finally:
        up.down(home)
        network.clean_leftovers(home)
        shutil.rmtree(directory)


@contextmanager
def running() -> Iterator[Home]:
    with fresh_home() as home:
        start(home)
        yield home


def start(home: Home, **chosen: int) -> None:
    """As a user does, in a process of its own: this one has had an event loop, and may not fork a supervisor."""
    os.environ["BALSA_HOME"] = str(home.root)
    flags = [f"--{name.replace('_', '-')}={count}" for name, count in chosen.items()]
    subprocess.run([sys.executable, "-m", "cluster.cli", "up", *flags], check=True, stdout=subprocess.DEVNULL)
