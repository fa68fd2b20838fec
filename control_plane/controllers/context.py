"""What a controller is given: a client, shared informers, an event recorder, the clock, the process's options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from certs.ca import CertificateAuthority
from control_plane.api.meta import Object
from control_plane.client.client import Client
from control_plane.client.informer import InformerFactory

EventType = Literal["Normal", "Warning"]
NORMAL: EventType = "Normal"
WARNING: EventType = "Warning"


class RecordEvent(Protocol):
    def __call__(self, obj: Object, type: EventType, reason: str, message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """Flags of kube-controller-manager that controllers read."""

    root_ca_pem: str = ""
    cluster_cidr: str = ""
    service_cidr: str = ""
    node_monitor_period_s: float = 1.0
    node_monitor_grace_period_s: float = 40.0
    node_eviction_rate: float = 0.1  # nodes a second, in each zone
    secondary_node_eviction_rate: float = 0.01
    large_cluster_size_threshold: int = 50
    unhealthy_zone_threshold: float = 0.55
    terminated_pod_gc_threshold: int = 12500
    allocate_node_cidrs: bool = False
    node_cidr_mask_size: int = 0  # 0: 24 for IPv4, 64 for IPv6
    autoscaler_sync_period_s: float = 15.0
    signing_authority: CertificateAuthority | None = None
    signing_duration_s: float = 365 * 24 * 3600.0
    service_account_key: EllipticCurvePrivateKey | None = None
    legacy_token_clean_up_period_s: float = 365 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Context:
    client: Client  # for what all loops share
    client_for: Callable[[str], Client]  # by service account, for what one loop does
    informers: InformerFactory
    recorder: Callable[[Client, str], RecordEvent]  # by component, as `kubectl describe` shows under From
    now: Callable[[], float]  # seconds since the epoch
    options: Options = field(default_factory=Options)
