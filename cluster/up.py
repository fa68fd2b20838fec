"""`balsa up`: make what is missing, start the supervisor in the background, wait until the cluster is ready.

The command and the supervisor are two processes: the command reports and waits, and when it is interrupted or the
start fails it ends the supervisor, which ends everything else.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
from typing import Any, NoReturn, TextIO

from certs.errors import CertsError
from cluster import control, network, pki, ports, readiness, serve
from cluster import spec as specs
from cluster.errors import ClusterError, StartFailed, StateDamaged
from cluster.home import Home
from cluster.plan import service_address
from cluster.spec import ClusterSpec

START_TIMEOUT_S = 60.0
START_TIMEOUT_PER_HOLLOW_NODE_S = 0.02
STOP_TIMEOUT_S = 40.0
LOG_TAIL_LINES = 5
MIN_FREE_BYTES = 1024 * 1024


def up(
    home: Home, chosen: dict[str, Any], *, exec_: bool = False, out: TextIO = sys.stdout
) -> dict[str, float]:
    """Return the seconds at which each stage was reached. Raises ClusterError."""
    began = time.monotonic()
    home.create()
    lock = home.take_lock()
    network.clean_leftovers(home)
    try:
        spec = _prepare(home, chosen)
        supervisor = _fork_supervisor(home, spec, lock, exec_)
    finally:
        os.close(lock)
    try:
        return _wait(home, spec, supervisor, began, out)
    except KeyboardInterrupt:
        _stop(supervisor)
        raise ClusterError("interrupted; everything that was started has been stopped") from None
    except BaseException:
        _stop(supervisor)
        raise


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
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        status = serve.main(home, spec, lock, exec_)
    finally:
        os._exit(status)


def _wait(home: Home, spec: ClusterSpec, supervisor: int, began: float, out: TextIO) -> dict[str, float]:
    reached: dict[str, float] = {}
    offset = time.monotonic() - began
    timeout_s = START_TIMEOUT_S + START_TIMEOUT_PER_HOLLOW_NODE_S * spec.hollow_nodes
    try:
        for stage in readiness.stages(home, spec, timeout_s, lambda: _is_alive(supervisor)):
            reached[stage.name] = round(stage.reached_s + offset, 2)
            print(f"  {reached[stage.name]:5.1f} s  {stage.name}", file=out, flush=True)
    except ConnectionError as error:
        raise StartFailed(f"the supervisor ended: {_log_tail(home, 'supervisor') or error}") from error
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


def _log_tail(home: Home, process: str) -> str:
    try:
        lines = home.log_of(process).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_TAIL_LINES:])


def _stop(supervisor: int) -> None:
    try:
        os.kill(supervisor, signal.SIGTERM)
        os.waitpid(supervisor, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def advice(home: Home) -> list[str]:
    """What to type next."""
    lines = [f"export KUBECONFIG={home.kubeconfig}"]
    if shutil.which("kubectl"):
        lines.append("kubectl get nodes")
    else:
        lines.append("# kubectl is not installed: https://kubernetes.io/docs/tasks/tools/ says how")
    return lines
