"""The apiserver's flags, named as kube-apiserver's, and what they come to."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from control_plane.api.resources import OFF_BY_DEFAULT
from control_plane.apiserver import config_access as access
from control_plane.apiserver.audit import options as audit_options
from control_plane.apiserver.audit.errors import BadOptions
from control_plane.apiserver.audit.options import AuditOptions
from control_plane.apiserver.authn.build import AuthenticationOptions
from control_plane.apiserver.authz.build import DEFAULT_MODES, WebhookOptions
from control_plane.apiserver.config_access import words
from control_plane.apiserver.kubelet import DEFAULT_ADDRESS_TYPES
from control_plane.apiserver.limits import MAX_READS_IN_FLIGHT, MAX_WRITES_IN_FLIGHT
from control_plane.apiserver.services.ranges import Network, PortRange
from store.component.flags import Parser, parse_duration
from store.component.process import FatalError


@dataclass(slots=True)
class Config:
    store_endpoints: Sequence[str]
    store_ca_file: Path
    store_cert_file: Path
    store_key_file: Path
    tls_cert_file: Path
    tls_key_file: Path
    authentication: AuthenticationOptions
    authorization_modes: Sequence[str]
    service_networks: Sequence[Network]
    node_ports: PortRange
    advertise_address: str
    secure_port: int
    bind_address: str = "0.0.0.0"
    listen_fds: Sequence[int] = ()
    kubelet_cert_file: Path | None = None
    kubelet_key_file: Path | None = None
    kubelet_ca_file: Path | None = None
    kubelet_address_types: Sequence[str] = DEFAULT_ADDRESS_TYPES
    enable_admission: Sequence[str] = ()
    disable_admission: Sequence[str] = ()
    event_ttl_s: float = 3600.0
    compaction_interval_s: float = 300.0
    max_reads: int = MAX_READS_IN_FLIGHT
    max_writes: int = MAX_WRITES_IN_FLIGHT
    shutdown_delay_s: float = 0.0
    watch_grace_s: float = 0.0
    requestheader: dict[str, str] = field(default_factory=dict)
    egress_network_namespace: str = ""
    proxy_client_cert_file: Path | None = None
    proxy_client_key_file: Path | None = None
    authorization_webhook: WebhookOptions = field(default_factory=WebhookOptions)
    authorization_config_file: Path | None = None
    priority_and_fairness: bool = True
    audit: AuditOptions = field(default_factory=AuditOptions)
    encryption_config_file: Path | None = None
    encryption_reload: bool = False
    profiling: bool = True
    tracing_config_file: Path | None = None
    runtime_config: Sequence[tuple[str, str]] = ()  # groups and versions that are off by default
    flags: Mapping[str, object] = field(default_factory=dict)  # as they were given, for /flagz


def parser() -> Parser:
    flags = Parser("balsa apiserver", "Serves the Kubernetes API from a store that speaks etcd v3.")
    add = flags.add_argument
    add(
        "--etcd-servers",
        "--store-endpoints",
        required=True,
        help="URLs of the store's members, comma-separated",
    )
    add("--etcd-cafile", type=Path, required=True, help="authority of the store's certificates")
    add("--etcd-certfile", type=Path, required=True, help="client certificate for the store")
    add("--etcd-keyfile", type=Path, required=True, help="its key")
    add(
        "--etcd-compaction-interval",
        type=parse_duration,
        default=300.0,
        help="how often the store's old revisions are forgotten; 0 leaves it to others",
    )
    add("--tls-cert-file", type=Path, required=True, help="serving certificate")
    add("--tls-private-key-file", type=Path, required=True, help="its key")
    add("--bind-address", default="0.0.0.0", help="address to listen on")
    add("--secure-port", type=int, default=6443, help="port to listen on, and that clients are told of")
    add(
        "--listen-fd",
        type=int,
        action="append",
        default=[],
        help="inherited listening socket, instead of a port of its own; repeatable",
    )
    add("--advertise-address", default="", help="address at which pods reach this server")
    access.add_flags(flags)
    add(
        "--authorization-mode",
        default="",
        help="Node,RBAC by default; AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook; comma-separated, in order",
    )
    add("--enable-admission-plugins", default="", help="admission plugins to add to the default ones")
    add("--disable-admission-plugins", default="", help="admission plugins to leave out")
    add(
        "--service-cluster-ip-range",
        default="10.96.0.0/16",
        help="addresses of services; two networks, comma-separated, for dual stack",
    )
    add("--service-node-port-range", default="30000-32767", help="node ports of services")
    add("--kubelet-client-certificate", type=Path, help="client certificate for node agents")
    add("--kubelet-client-key", type=Path, help="its key")
    add("--kubelet-certificate-authority", type=Path, help="authority of the node agents' certificates")
    add(
        "--kubelet-preferred-address-types",
        default=",".join(DEFAULT_ADDRESS_TYPES),
        help="which of a node's addresses to use, best first",
    )
    add(
        "--runtime-config",
        type=_runtime_config,
        default=(),
        metavar="GROUP/VERSION=true",
        help="APIs that are off by default; api/beta=true for all",
    )
    add("--event-ttl", type=parse_duration, default=3600.0, help="how long events are kept")
    add("--max-requests-inflight", type=int, default=MAX_READS_IN_FLIGHT, help="reads under way at once")
    add(
        "--max-mutating-requests-inflight",
        type=int,
        default=MAX_WRITES_IN_FLIGHT,
        help="writes under way at once",
    )
    flags.add_bool(
        "--enable-priority-and-fairness",
        True,
        "divide the two limits' sum by PriorityLevelConfigurations instead",
    )
    add(
        "--shutdown-delay-duration",
        type=parse_duration,
        default=0.0,
        help="how long to go on serving, not ready, before a stop",
    )
    add(
        "--shutdown-watch-termination-grace-period",
        type=parse_duration,
        default=0.0,
        help="over how long watches are ended at a stop, so that their clients do not all come back at once",
    )
    add(
        "--egress-network-namespace",
        default="",
        help="network namespace in which connections to services are made; the server's own by default",
    )
    add("--proxy-client-cert-file", type=Path, help="client certificate for aggregated servers")
    add("--proxy-client-key-file", type=Path, help="its key")
    add("--encryption-provider-config", type=Path, help="which resources are encrypted in the store, and how")
    flags.add_bool(
        "--encryption-provider-config-automatic-reload", False, "read that file again when it changes"
    )
    add("--tracing-config-file", type=Path, help="where traces go, and how many requests are traced")
    flags.add_bool("--profiling", True, "serve profiles of this process at /debug/pprof/")
    audit_options.add_flags(flags)
    return flags


def config(args: argparse.Namespace) -> Config:
    """Raises FatalError for flags that cannot be."""
    try:
        networks = [ipaddress.ip_network(each) for each in words(args.service_cluster_ip_range)]
        node_ports = PortRange.parse(args.service_node_port_range)
    except ValueError as error:
        raise FatalError(f"a range is not valid: {error}") from error
    if not networks:
        raise FatalError("--service-cluster-ip-range names no network")
    try:
        audit = audit_options.options(args)
    except BadOptions as error:
        raise FatalError(str(error)) from error
    return Config(
        store_endpoints=words(args.etcd_servers),
        store_ca_file=args.etcd_cafile,
        store_cert_file=args.etcd_certfile,
        store_key_file=args.etcd_keyfile,
        tls_cert_file=args.tls_cert_file,
        tls_key_file=args.tls_private_key_file,
        authentication=access.authentication(args),
        authorization_modes=words(args.authorization_mode) or DEFAULT_MODES,
        authorization_config_file=access.authorization_config(args),
        service_networks=networks,
        node_ports=node_ports,
        advertise_address=args.advertise_address or "127.0.0.1",
        secure_port=args.secure_port,
        bind_address=args.bind_address,
        listen_fds=args.listen_fd,
        kubelet_cert_file=args.kubelet_client_certificate,
        kubelet_key_file=args.kubelet_client_key,
        kubelet_ca_file=args.kubelet_certificate_authority,
        kubelet_address_types=words(args.kubelet_preferred_address_types),
        enable_admission=words(args.enable_admission_plugins),
        disable_admission=words(args.disable_admission_plugins),
        event_ttl_s=args.event_ttl,
        compaction_interval_s=args.etcd_compaction_interval,
        max_reads=args.max_requests_inflight,
        max_writes=args.max_mutating_requests_inflight,
        shutdown_delay_s=args.shutdown_delay_duration,
        watch_grace_s=args.shutdown_watch_termination_grace_period,
        priority_and_fairness=args.enable_priority_and_fairness,
        audit=audit,
        profiling=args.profiling,
        runtime_config=args.runtime_config,
        tracing_config_file=args.tracing_config_file,
        flags={name.replace("_", "-"): value for name, value in vars(args).items()},
        encryption_config_file=args.encryption_provider_config,
        encryption_reload=args.encryption_provider_config_automatic_reload,
        requestheader=access.requestheader(args),
        egress_network_namespace=args.egress_network_namespace,
        proxy_client_cert_file=args.proxy_client_cert_file,
        proxy_client_key_file=args.proxy_client_key_file,
        authorization_webhook=access.authorization_webhook(args),
    )


def _runtime_config(text: str) -> tuple[tuple[str, str], ...]:
    """What is served by default cannot be taken away. Raises ArgumentTypeError."""
    found: dict[tuple[str, str], bool] = {}
    for name, _, value in (each.partition("=") for each in words(text)):
        group, _, version = name.partition("/")
        if value not in ("", "true", "false"):
            raise argparse.ArgumentTypeError(f"{name}: invalid value {value!r}, must be true or false")
        if name in ("api/all", "api/beta"):
            found.update(dict.fromkeys(OFF_BY_DEFAULT, value != "false"))
        elif (group, version) in OFF_BY_DEFAULT:
            found[group, version] = value != "false"
        else:
            known = ", ".join("/".join(each) for each in OFF_BY_DEFAULT)
            raise argparse.ArgumentTypeError(f"unknown api {name!r}; there are {known}, api/all, api/beta")
    return tuple(each for each, wanted in found.items() if wanted)
