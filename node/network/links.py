"""What is configured inside the namespaces: bridges, veth pairs, addresses, routes. Every function is called
in a thread that has entered the namespace it names, is idempotent, and blocks for some milliseconds.

    fabric   br0 172.30.0.1/24            forwards between nodes
    node     eth0 on br0, cni0 = first address of the pod CIDR, forwards between its pods and the fabric
    pod      eth0 on cni0, default route through it
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

FABRIC_BRIDGE = "br0"
POD_BRIDGE = "cni0"
UPLINK = "eth0"
SCOPE_HOST = 254
TABLE_LOCAL = 255
POD_SYSCTLS = {  # as containerd 2 sets them: a pod's network is its own, so any port is anyone's in it
    "net/ipv4/ip_unprivileged_port_start": ("0",),
    "net/ipv4/ping_group_range": ("0 2147483647", "0 0"),  # in a user namespace there is one group
}


@contextmanager
def _netlink() -> Iterator[Any]:
    """pyroute2 runs a loop of its own; it must be asyncio's even where another kind is installed, because uvloop
    cannot open netlink sockets."""
    loop = asyncio.SelectorEventLoop()
    try:
        with IPRoute(use_event_loop=loop) as ip:
            yield ip
    finally:
        loop.run_until_complete(asyncio.sleep(0))  # its transport's last callback
        loop.close()


@contextmanager
def _existing_is_fine() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def _index(ip: Any, name: str) -> int | None:
    found = ip.link_lookup(ifname=name)
    return int(found[0]) if found else None


def _sysctl(name: str, *values: str) -> None:
    """The first value that the kernel takes. /proc/sys/net shows the namespace of the thread that opens it."""
    for value in values:
        try:
            Path("/proc/sys", name).write_text(value)
        except OSError as error:
            if error.errno != errno.EINVAL or value == values[-1]:
                raise
        else:
            return


def _up(ip: Any, name: str) -> int:
    index = _index(ip, name)
    if index is None:
        raise OSError(errno.ENODEV, f"no network interface {name}")
    ip.link("set", index=index, state="up")
    return index


def _bridge(ip: Any, name: str, address: ipaddress.IPv4Interface) -> int:
    if _index(ip, name) is None:
        with _existing_is_fine():
            ip.link("add", ifname=name, kind="bridge")
    index = _up(ip, name)
    with _existing_is_fine():
        ip.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
    return index


def set_up_fabric(address: ipaddress.IPv4Interface) -> None:
    """In the fabric."""
    with _netlink() as ip:
        _up(ip, "lo")
        _bridge(ip, FABRIC_BRIDGE, address)
    _sysctl("net/ipv4/ip_forward", "1")
    _sysctl("net/ipv4/conf/all/send_redirects", "0")
    _sysctl(f"net/ipv4/conf/{FABRIC_BRIDGE}/send_redirects", "0")


def plug_node(port: str, node_namespace: str, node_ip: str, pod_cidr: str) -> None:
    """In the fabric: a veth pair from the bridge into the node, and the way to the node's pods."""
    with _netlink() as ip:
        _plug(ip, port, FABRIC_BRIDGE, node_namespace)
        ip.route("replace", dst=pod_cidr, gateway=node_ip)


def unplug_node(port: str) -> None:
    """In the fabric; the other end and the routes go with it."""
    _delete_link(port)


def set_up_node(address: ipaddress.IPv4Interface, gateway: str, pod_cidr: str) -> None:
    """In the node, after plug_node."""
    with _netlink() as ip:
        _up(ip, "lo")
        uplink = _up(ip, UPLINK)
        with _existing_is_fine():
            ip.addr("add", index=uplink, address=str(address.ip), prefixlen=address.network.prefixlen)
        ip.route("replace", dst="0.0.0.0/0", gateway=gateway)
        pods = ipaddress.IPv4Network(pod_cidr)
        _bridge(ip, POD_BRIDGE, ipaddress.IPv4Interface(f"{pods[1]}/{pods.prefixlen}"))
    _sysctl("net/ipv4/ip_forward", "1")


def plug_pod(port: str, pod_namespace: str) -> None:
    """In the node."""
    with _netlink() as ip:
        _plug(ip, port, POD_BRIDGE, pod_namespace)


def unplug_pod(port: str) -> None:
    """In the node."""
    _delete_link(port)


def set_up_pod(address: ipaddress.IPv4Interface, gateway: str) -> None:
    """In the pod, after plug_pod."""
    with _netlink() as ip:
        _up(ip, "lo")
        uplink = _up(ip, UPLINK)
        with _existing_is_fine():
            ip.addr("add", index=uplink, address=str(address.ip), prefixlen=address.network.prefixlen)
        ip.route("replace", dst="0.0.0.0/0", gateway=gateway)
    for name, values in POD_SYSCTLS.items():
        _sysctl(name, *values)


def make_local(cidr: str) -> None:
    """In the node: every address of the range is its own (an AnyIP route), so that it can be listened on."""
    with _netlink() as ip:
        ip.route(
            "replace",
            dst=cidr,
            oif=_index(ip, "lo"),
            table=TABLE_LOCAL,
            type="local",
            scope=SCOPE_HOST,
        )


def _plug(ip: Any, port: str, bridge: str, namespace: str) -> None:
    if _index(ip, port) is not None:
        return
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _existing_is_fine():
            peer = {"ifname": UPLINK, "net_ns_fd": fd}
            ip.link("add", ifname=port, kind="veth", peer=peer, master=_index(ip, bridge), state="up")
    finally:
        os.close(fd)


def _delete_link(name: str) -> None:
    with _netlink() as ip:
        index = _index(ip, name)
        if index is not None:
            ip.link("del", index=index)
