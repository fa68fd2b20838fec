"""Which pods stand behind a service, and at which ports: shared by endpoints and endpointslice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from control_plane.api import meta, selectors
from control_plane.api.meta import Object
from control_plane.controllers import pods

NOT_READY_TOO = "service.alpha.kubernetes.io/tolerate-unready-endpoints"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    name: str
    protocol: str
    port: int
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class Backend:
    """One pod at one set of ports."""

    pod: Object
    address: str
    ports: tuple[Port, ...]
    serving: bool
    terminating: bool
    publish_not_ready: bool
    hostname: str = ""  # only where the service is the pod's subdomain: then it has a name of its own in DNS

    @property
    def ready(self) -> bool:
        """As `serving`, but never for a pod that is going; always where the service wants unready pods too."""
        return self.publish_not_ready or (self.serving and not self.terminating)


def selects(service: Object) -> bool:
    """Somebody else keeps the endpoints of a service without selector, and an ExternalName has none."""
    spec = service.get("spec") or {}
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def has_address(service: Object) -> bool:
    """Else it is headless."""
    return service["spec"].get("clusterIP") not in (None, "", "None")


def backends(service: Object, candidates: Iterable[Object], family: str = "IPv4") -> list[Backend]:
    """The backends among the pods of the service's namespace, in the order of their addresses."""
    selector = selectors.from_set(service["spec"].get("selector"))
    unready = publishes_not_ready(service)
    found = []
    for pod in candidates:
        address = _address(pod, family)
        if not address or pods.is_finished(pod) or not selector.matches(meta.labels(pod)):
            continue
        found.append(
            Backend(
                pod=pod,
                address=address,
                ports=resolve_ports(service, pod),
                serving=pods.is_ready(pod),
                terminating=meta.is_deleting(pod),
                publish_not_ready=unready,
                hostname=_hostname(service, pod),
            )
        )
    return sorted(found, key=lambda backend: (backend.address, meta.uid_of(backend.pod)))


def _hostname(service: Object, pod: Object) -> str:
    spec = pod.get("spec") or {}
    found: str = spec.get("hostname", "") if spec.get("subdomain") == meta.name_of(service) else ""
    return found


def publishes_not_ready(service: Object) -> bool:
    wanted = bool(meta.nested(service, "spec", "publishNotReadyAddresses", default=False))
    return wanted or meta.annotations(service).get(NOT_READY_TOO) == "true"


def resolve_ports(service: Object, pod: Object) -> tuple[Port, ...]:
    """The service's ports as numbers in this pod; a named target that the pod does not have is left out."""
    resolved = []
    for each in service["spec"].get("ports") or ():
        number = _target(each, pod)
        if number is not None:
            resolved.append(
                Port(each.get("name", ""), each.get("protocol", "TCP"), number, each.get("appProtocol", ""))
            )
    return tuple(sorted(resolved))


def _target(port: Object, pod: Object) -> int | None:
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    for container in _containers(pod):
        for offered in container.get("ports") or ():
            if offered.get("name") == target and offered.get("protocol", "TCP") == port.get(
                "protocol", "TCP"
            ):
                return int(offered["containerPort"])
    return None


def _containers(pod: Object) -> Sequence[Object]:
    spec = pod.get("spec") or {}
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    return [*(spec.get("containers") or ()), *sidecars]


def _address(pod: Object, family: str) -> str:
    status = pod.get("status") or {}
    addresses = [each.get("ip", "") for each in status.get("podIPs") or ()] or [status.get("podIP", "")]
    return next((each for each in addresses if each and (":" in each) == (family == "IPv6")), "")


def families(service: Object) -> list[str]:
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


def affected_services(services: Iterable[Object], *states: Object) -> list[Object]:
    """The services that select the pod in any of its states."""
    return [
        service
        for service in services
        if selects(service)
        and any(selectors.from_set(service["spec"]["selector"]).matches(meta.labels(pod)) for pod in states)
    ]


def matters(old: Object, new: Object) -> bool:
    """Did the pod change in something that a service's endpoints show?"""
    return _shown(old) != _shown(new)


def _shown(pod: Object) -> tuple[object, ...]:
    return (
        meta.labels(pod),
        meta.nested(pod, "status", "podIPs"),
        meta.nested(pod, "status", "podIP"),
        pods.is_finished(pod),
        pods.is_ready(pod),
        meta.is_deleting(pod),
        meta.nested(pod, "spec", "nodeName"),
        meta.nested(pod, "spec", "hostname"),
        meta.nested(pod, "spec", "subdomain"),
    )
