"""`balsa up`: make what is missing, start the supervisor in the background, wait until the cluster is ready.

The command and the supervisor are two processes: the command reports and waits, and when it is interrupted or the
start fails it ends the supervisor, which ends everything else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn, TextIO

from certs.errors import CertsError
from cluster import control, doctor, network, pki, ports, readiness, serve, trouble
from cluster import spec as specs
from cluster.errors import ClusterError, Interrupted, StartFailed, StateDamaged
from cluster.home import Home
from cluster.plan import service_address
from cluster.progress import Progress
from cluster.spec import ClusterSpec

START_TIMEOUT_S = 60.0
START_TIMEOUT_PER_HOLLOW_NODE_S = 0.02
STOP_TIMEOUT_S = 40.0
LOOK_EVERY_S = 1.0
INTERRUPT_GRACE_S = 2.0
MIN_FREE_BYTES = 1024 * 1024
ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
NO_SPACE = os.strerror(errno.ENOSPC)  # in the last words of who wanted more than there is


def up(
    home: Home, chosen: dict[str, Any], *, exec_: bool = False, out: TextIO = sys.stdout
) -> dict[str, float]:
    """Return the seconds at which each stage was reached. Raises ClusterError."""
    began = time.monotonic()
    home.create()
    lock = home.take_lock()
    progress = Progress(out, began)
    progress.say(f"starting the cluster in {home.root}")
    network.clean_leftovers(home)
    try:
        spec = _prepare(home, chosen)
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)  # until there is somebody who stops the supervisor
        supervisor = _fork_supervisor(home, spec, lock, exec_)
    finally:
        os.close(lock)
    try:
        with _interrupted_by_signals():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
            reached = _wait(home, spec, supervisor, began, progress)
    except KeyboardInterrupt:
        _stop(supervisor)
        progress.clear()
        raise Interrupted("interrupted; everything that was started has been stopped") from None
    except BaseException:
        _stop(supervisor)
        progress.clear()
        raise
    for process, words in trouble.failing(home).items():
        progress.warn(f"{process} does not start: {words}")
    return reached


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """A terminal that is closed, or a `kill`, ends the start as Ctrl-C does."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def down(home: Home) -> bool:
    """Stop everything; say whether there was anything. Returns when the last process is gone."""
    if not home.is_running():
        return False
    pid = home.supervisor_pid()
    control.call(home, {"op": "stop"})
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while home.is_running():
        if time.monotonic() > deadline:
            raise ClusterError(f"the supervisor (pid {pid}) does not stop; see {home.log_of('supervisor')}")
        time.sleep(0.02)
    return True


def _prepare(home: Home, chosen: dict[str, Any]) -> ClusterSpec:
    """The cluster's specification and certificates, made at the first start."""
    try:
        spec = specs.load(home)
        if spec is None:
            spec = specs.create(**{**network.ranges(chosen.get("network", "")), **chosen})
            spec.write(home)
        elif chosen:
            raise ClusterError(
                f"the cluster in {home.root} exists already, with its own {', '.join(chosen)}; "
                "`balsa down --delete` removes it"
            )
        for name, port in spec.ports.items():
            ports.check_free(port, name)
        pki.ensure(home, spec, service_address(spec.service_cidr), spec.server())
    except CertsError as error:
        raise StateDamaged(f"{error}; restore it, or remove {home.root} to start a new cluster") from error
    except OSError as error:
        raise _explain(home, error) from error
    return spec


def _explain(home: Home, error: OSError) -> ClusterError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_space(home)
    return ClusterError(f"cannot write to {home.root}: {error.strerror or error}")


def _no_space(home: Home) -> ClusterError:
    return ClusterError(f"no space is left for {home.root}; free some and try again")


def _fork_supervisor(home: Home, spec: ClusterSpec, lock: int, exec_: bool) -> int:
    """A child in a session of its own that holds the lock and outlives this command."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _become_supervisor(home, spec, lock, exec_)
    return pid


def _become_supervisor(home: Home, spec: ClusterSpec, lock: int, exec_: bool) -> NoReturn:
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        status = serve.main(home, spec, lock, exec_)
    finally:
        os._exit(status)


def _wait(
    home: Home, spec: ClusterSpec, supervisor: int, began: float, progress: Progress
) -> dict[str, float]:
    reached: dict[str, float] = {}
    offset = time.monotonic() - began
    timeout_s = START_TIMEOUT_S + START_TIMEOUT_PER_HOLLOW_NODE_S * spec.hollow_nodes
    look_at = time.monotonic() + LOOK_EVERY_S

    def waiting(name: str) -> bool:
        """While a stage is not reached. False: there is nothing to wait for."""
        nonlocal look_at
        progress.waiting(name)
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + LOOK_EVERY_S
            if why := trouble.hopeless(home):
                raise _no_space(home) if _is_full(home) or NO_SPACE in why else StartFailed(why)
        return _is_alive(supervisor)

    try:
        for stage in readiness.stages(home, spec, timeout_s, waiting):
            reached[stage.name] = round(stage.reached_s + offset, 2)
            progress.reached(stage.name, reached[stage.name])
    except ConnectionError as error:
        if _is_full(home):
            raise _no_space(home) from error
        raise StartFailed(f"the supervisor ended: {trouble.last_words(home, 'supervisor')}") from error
    except TimeoutError as error:
        if _is_full(home):
            raise _no_space(home) from error
        raise StartFailed(
            f"not ready after {timeout_s:.0f} s: {error}; the logs are in {home.logs}"
        ) from error
    return reached


def _is_full(home: Home) -> bool:
    status = os.statvfs(home.root)
    return status.f_bavail * status.f_frsize < MIN_FREE_BYTES


def _is_alive(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def _stop(supervisor: int) -> None:
    """What has only begun to start need not be asked twice: a second signal ends it at once."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(supervisor, signal.SIGTERM)
        hurry_at = time.monotonic() + INTERRUPT_GRACE_S
        while os.waitpid(supervisor, os.WNOHANG) == (0, 0):
            if time.monotonic() >= hurry_at:
                os.kill(supervisor, signal.SIGTERM)
                os.waitpid(supervisor, 0)
                return
            time.sleep(0.02)


def advice(home: Home) -> list[str]:
    """What to type next."""
    kubectl = doctor.kubectl()
    remarks = [f"# kubectl {kubectl.how}: {each}" for each in kubectl.but]
    return [f"export KUBECONFIG={home.kubeconfig}", *remarks, "kubectl get nodes"]
