"""Starting a process by forking this one, which has imported everything already: a component is running some
milliseconds later and shares its code's memory with all others. `exec_` starts a program of its own instead.

Only a process without threads and without an event loop may do this; the supervisor is one.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from cluster import components

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
EXIT_CRASHED = 70
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)  # by the supervisor

_libc = ctypes.CDLL(None, use_errno=True)


def import_all() -> None:
    """Import every component, then move all objects out of the collector's sight, so that it does not write
    to (and so copy) the shared pages."""
    for component in components.COMPONENTS:
        components.load(component)
    gc.collect()
    gc.freeze()


def become_subreaper() -> None:
    """Orphans of our children (pods that lost their agent) become ours instead of init's."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(
    component: str, argv: Sequence[str], log: Path, inherit: Sequence[int], *, title: str, exec_: bool = False
) -> int:
    """Fork a child that runs `balsa <component> <argv>`; return its pid. It dies with its parent.

    A signal that comes before the child has handlers of its own waits: ours, which the child inherits, would take
    it and do nothing there.
    """
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    pid = os.fork()
    if pid == 0:
        _child(parent, title, log, inherit, lambda: _run(component, list(argv), inherit, exec_))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _child(parent: int, title: str, log: Path, inherit: Sequence[int], run: Callable[[], int]) -> NoReturn:
    """Never returns into the parent's code, whatever happens."""
    status = EXIT_CRASHED
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(EXIT_CRASHED)
        _libc.prctl(PR_SET_NAME, title.encode()[:15], 0, 0, 0)
        os.setpgid(0, 0)
        _reset_signals()
        _redirect(log)
        close_others(inherit)
        status = run()
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(component: str, argv: list[str], inherit: Sequence[int], exec_: bool) -> int:
    if exec_:
        _exec(component, argv, inherit)
    return components.load(component)(argv)


def _exec(component: str, argv: list[str], inherit: Sequence[int]) -> NoReturn:
    for descriptor in inherit:
        os.set_inheritable(descriptor, True)
    os.execv(sys.executable, [sys.executable, "-m", "cluster.cli", component, *argv])


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _redirect(log: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def close_others(keep: Sequence[int]) -> None:
    """Close every descriptor but the standard ones and `keep`."""
    low = 3
    for descriptor in sorted({each for each in keep if each >= low}):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
