"""What a cluster is made of: how many of each process, its ports and networks. Written once, at the first
start, so that a cluster that is stopped and started again is the same cluster at the same addresses."""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from certs.files import write_atomic
from cluster import ports
from cluster.errors import StateDamaged
from cluster.home import Home

FORMAT = 1


class NetworkMode(StrEnum):
    AUTO = "auto"
    NETNS = "netns"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """Counts are of processes. `ports` maps a process to its port: "apiserver", "store-1/client", …"""

    format: int = FORMAT
    token: str = ""
    stores: int = 3
    apiservers: int = 2
    schedulers: int = 2
    controller_managers: int = 2
    nodes: int = 3
    hollow_nodes: int = 0  # played by one process
    network: str = NetworkMode.AUTO
    service_cidr: str = "10.96.0.0/16"
    cluster_cidr: str = "10.244.0.0/16"
    node_port_range: str = "30000-32767"
    ports: dict[str, int] = field(default_factory=dict)
    flags: dict[str, list[str]] = field(default_factory=dict)  # by component: what the user adds to its own

    def store_names(self) -> list[str]:
        return _names("store", self.stores)

    def apiserver_names(self) -> list[str]:
        return _names("apiserver", self.apiservers)

    def scheduler_names(self) -> list[str]:
        return _names("scheduler", self.schedulers)

    def controller_manager_names(self) -> list[str]:
        return _names("controller-manager", self.controller_managers)

    def node_names(self) -> list[str]:
        return _names("node", self.nodes)

    def hollow_names(self) -> list[str]:
        """Of the processes that play nodes: one, or none."""
        return ["hollow-nodes"] if self.hollow_nodes else []

    def server(self) -> str:
        return f"https://127.0.0.1:{self.ports['apiserver']}"

    def store_endpoints(self) -> list[str]:
        return [f"https://127.0.0.1:{self.ports[f'{name}/client']}" for name in self.store_names()]

    def write(self, home: Home) -> None:
        write_atomic(home.spec, orjson.dumps(dataclasses.asdict(self), option=orjson.OPT_INDENT_2))


def create(**chosen: Any) -> ClusterSpec:
    """A new cluster, on ports that are free now. `chosen` overrides defaults; port=N is the apiserver's."""
    port = chosen.pop("port", 0)
    spec = ClusterSpec(token=secrets.token_hex(8), **chosen)
    wanted = ["apiserver"]
    wanted += [f"{name}/{door}" for name in spec.store_names() for door in ("client", "peer")]
    wanted += [*spec.scheduler_names(), *spec.controller_manager_names(), *spec.node_names()]
    wanted += spec.hollow_names()
    free = dict(zip(wanted, ports.free_ports(len(wanted)), strict=True))
    if port:
        free["apiserver"] = port
    return dataclasses.replace(spec, ports=free)


def load(home: Home) -> ClusterSpec | None:
    """None when there is no cluster yet. Raises StateDamaged."""
    try:
        document = orjson.loads(home.spec.read_bytes())
        spec = ClusterSpec(**document)
        spec.server()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StateDamaged(
            f"{home.spec} is damaged ({error}); restore it, or remove {home.root} to start a new cluster"
        ) from error
    if spec.format != FORMAT:
        raise StateDamaged(f"{home.spec} has format {spec.format}, this Balsa reads {FORMAT}")
    return spec


def _names(kind: str, count: int) -> list[str]:
    return [f"{kind}-{number}" for number in range(1, count + 1)]
