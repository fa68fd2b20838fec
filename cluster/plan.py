"""From what a cluster is made of to the processes that make it: a pure function, so that `balsa up --dry-run`
prints exactly what would be started."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cluster.home import Home
from cluster.spec import ClusterSpec

LEASE_FLAGS = (
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
)
# Kubelet's default keeps a tenth of the disk free; that of a development machine is often fuller than that.
EVICTION_HARD = (
    "memory.available<100Mi,nodefs.available<1%,nodefs.inodesFree<1%,"
    "imagefs.available<1%,imagefs.inodesFree<1%,pid.available<100"
)


@dataclass(frozen=True, slots=True)
class Process:
    """`listen` names the supervisor's sockets that it inherits, each announced as `--listen-fd`."""

    name: str
    component: str
    argv: tuple[str, ...]
    port: int
    listen: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "component": self.component, "argv": list(self.argv), "port": self.port}


def service_address(cidr: str) -> str:
    """The first address of the service range: the `kubernetes` Service's."""
    return str(next(ipaddress.ip_network(cidr).hosts()))


def pod_cidr(spec: ClusterSpec, number: int) -> str:
    """The pods' range of node `number` (from 1)."""
    subnets = ipaddress.ip_network(spec.cluster_cidr).subnets(new_prefix=24)
    for index, subnet in enumerate(subnets):
        if index == number:
            return str(subnet)
    raise ValueError(f"{spec.cluster_cidr} has no range left for node {number}")


def processes(
    spec: ClusterSpec,
    home: Home,
    node_flags: Callable[[int], tuple[str, ...]],
    advertise: tuple[str, int],
    egress: tuple[str, ...] = (),
) -> list[Process]:
    """In the order of starting. `node_flags`: how node N joins the network that works here. `advertise`: address
    and port at which pods reach the apiserver. `egress`: how the apiserver reaches pods."""
    made = [
        *(_store(spec, home, name) for name in spec.store_names()),
        *(_apiserver(spec, home, name, advertise, egress) for name in spec.apiserver_names()),
        *(_node(spec, home, number, node_flags(number)) for number in range(1, spec.nodes + 1)),
        *(_hollow(spec, home, name) for name in spec.hollow_names()),
        *(_loop(spec, home, name, "controller-manager") for name in spec.controller_manager_names()),
        *(_loop(spec, home, name, "scheduler") for name in spec.scheduler_names()),
    ]
    return [
        replace(process, argv=(*process.argv, *spec.flags.get(process.component, ()))) for process in made
    ]


def _store(spec: ClusterSpec, home: Home, name: str) -> Process:
    def url(member: str, door: str) -> str:
        return f"https://127.0.0.1:{spec.ports[f'{member}/{door}']}"

    cluster = ",".join(f"{member}={url(member, 'peer')}" for member in spec.store_names())
    argv = (
        f"--name={name}",
        f"--data-dir={home.stores / name}",
        f"--listen-client-urls={url(name, 'client')}",
        f"--advertise-client-urls={url(name, 'client')}",
        f"--listen-peer-urls={url(name, 'peer')}",
        f"--initial-advertise-peer-urls={url(name, 'peer')}",
        f"--initial-cluster={cluster}",
        f"--initial-cluster-token={spec.token}",
        f"--cert-file={home.pki / name}.crt",
        f"--key-file={home.pki / name}.key",
        f"--trusted-ca-file={home.pki}/store-ca.crt",
        f"--peer-cert-file={home.pki / name}.crt",
        f"--peer-key-file={home.pki / name}.key",
        f"--peer-trusted-ca-file={home.pki}/store-ca.crt",
    )
    return Process(name, "store", argv, spec.ports[f"{name}/client"])


def _apiserver(
    spec: ClusterSpec, home: Home, name: str, advertise: tuple[str, int], egress: tuple[str, ...]
) -> Process:
    pki = home.pki
    address, port = advertise
    argv = (
        f"--etcd-servers={','.join(spec.store_endpoints())}",
        f"--etcd-cafile={pki}/store-ca.crt",
        f"--etcd-certfile={pki}/store-client.crt",
        f"--etcd-keyfile={pki}/store-client.key",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={spec.service_cidr}",
        f"--service-node-port-range={spec.node_port_range}",
        f"--advertise-address={address}",
        f"--secure-port={port}",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
        "--authorization-mode=Node,RBAC",
        "--enable-bootstrap-token-auth=true",
        *egress,
    )
    return Process(name, "apiserver", argv, spec.ports["apiserver"], listen=("apiserver", "fabric"))


def _loop(spec: ClusterSpec, home: Home, name: str, component: str) -> Process:
    pki = home.pki
    argv = [
        f"--kubeconfig={pki / component}.kubeconfig",
        "--leader-elect=true",
        *LEASE_FLAGS,
        f"--leader-elect-identity={name}",
        f"--secure-port={spec.ports[name]}",
        "--bind-address=127.0.0.1",
        f"--tls-cert-file={pki / component}.crt",
        f"--tls-private-key-file={pki / component}.key",
        f"--client-ca-file={pki}/ca.crt",
    ]
    if component == "controller-manager":
        argv += [
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--service-cluster-ip-range={spec.service_cidr}",
            f"--cluster-cidr={spec.cluster_cidr}",
        ]
    return Process(name, component, tuple(argv), spec.ports[name])


def _node(spec: ClusterSpec, home: Home, number: int, network: tuple[str, ...]) -> Process:
    name = f"node-{number}"
    argv = (
        f"--node-name={name}",
        f"--kubeconfig={home.pki / name}.kubeconfig",
        f"--root-dir={home.nodes / name}",
        f"--image-dir={home.images}",
        f"--hide-path={home.root}",
        f"--pod-cidr={pod_cidr(spec, number)}",
        f"--service-cidr={spec.service_cidr}",
        f"--port={spec.ports[name]}",
        f"--eviction-hard={EVICTION_HARD}",
        f"--tls-cert-file={home.pki / name}.crt",
        f"--tls-private-key-file={home.pki / name}.key",
        f"--client-ca-file={home.pki}/ca.crt",
        *network,
    )
    return Process(name, "node", argv, spec.ports[name])


def _hollow(spec: ClusterSpec, home: Home, name: str) -> Process:
    pki = home.pki
    argv = (
        f"--kubeconfig={pki / name}.kubeconfig",
        f"--count={spec.hollow_nodes}",
        f"--secure-port={spec.ports[name]}",
        f"--tls-cert-file={pki / name}.crt",
        f"--tls-private-key-file={pki / name}.key",
    )
    return Process(name, "hollow-node", argv, spec.ports[name])
