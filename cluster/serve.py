"""What the supervisor's process does before and after supervising: network, sockets, imports; and the end."""

from __future__ import annotations

import os
import socket
import sys
import time

from cluster import fork, plan, ports
from cluster.errors import ClusterError
from cluster.home import Home
from cluster.network import ClusterNetwork
from cluster.pki import ensure
from cluster.spec import ClusterSpec
from cluster.supervisor import Child, Supervisor
from store.component import logs

RENEW_INTERVAL_S = 6 * 3600.0

log = logs.get("supervisor")


def main(home: Home, spec: ClusterSpec, lock: int, exec_: bool) -> int:
    """Until the cluster is stopped; the exit status."""
    _detach(home, lock)
    logs.setup(2, "text")
    network: ClusterNetwork | None = None
    try:
        network = ClusterNetwork.create(home, spec)
        fork.import_all()
        _supervise(home, spec, network, exec_, lock)
    except ClusterError as error:
        log.error("cannot start", reason=error)
        return 1
    except Exception:
        log.exception("supervisor failed")
        return 1
    finally:
        if network is not None and home.is_still(lock):
            network.destroy()
    return 0


def _supervise(home: Home, spec: ClusterSpec, network: ClusterNetwork, exec_: bool, lock: int) -> None:
    sockets: dict[str, socket.socket] = {"apiserver": ports.listen(spec.ports["apiserver"], "apiserver")}
    if network.api_socket is not None:
        sockets["fabric"] = network.api_socket
    processes = plan.processes(
        spec, home, network.node_flags, network.advertise(spec), network.egress_flags()
    )
    log.info("starting", processes=len(processes), network=network.mode, how=network.reason)
    renewed = time.monotonic()

    def housekeeping() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > RENEW_INTERVAL_S:
            renewed = time.monotonic()
            ensure(home, spec, plan.service_address(spec.service_cidr), spec.server())

    Supervisor(
        home=home,
        children={each.name: Child(each) for each in processes},
        sockets=sockets,
        facts={"network": network.mode, "network_reason": network.reason, "supervisor_pid": os.getpid()},
        exec_=exec_,
        housekeeping=housekeeping,
        is_at_home=lambda: home.is_still(lock),
    ).run()


def _detach(home: Home, lock: int) -> None:
    """Let go of the terminal and of everything but the lock."""
    out = os.open(home.log_of("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    fork.close_others([lock])
