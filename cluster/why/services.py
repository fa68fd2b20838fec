"""Why a service has nobody to send to. Pure."""

from __future__ import annotations

from cluster.why import pods
from cluster.why.cause import Cause, grouped
from cluster.why.world import World, plural
from control_plane.api import meta
from control_plane.client.types import Obj

SERVICE_NAME = "kubernetes.io/service-name"


def explain(world: World, service: Obj) -> Cause:
    about, spec = f"service/{meta.name_of(service)}", service["spec"]
    if spec.get("type") == "ExternalName":
        return Cause(about, f"is a name for {spec.get('externalName')}: it has no endpoints", healthy=True)
    selector = spec.get("selector") or {}
    ready = _ready_endpoints(world, service)
    if not selector:
        return _by_hand(about, ready)
    matching = world.selected("pods", {"matchLabels": selector})
    if not matching:
        return _nobody(world, about, selector)
    if wrong := _wrong_port(service, matching):
        return Cause(about, "sends to a port that its pods do not have", wrong, do=("correct targetPort",))
    well = [pod for pod in matching if pods.is_well(pod)]
    if not well:
        because = grouped([pods.explain(world, pod) for pod in matching])
        return Cause(
            about, f"matches {plural(len(matching), 'pod')}, none of which is ready", because=because
        )
    if not ready:
        step = "balsa status: is a controller-manager leading?"
        return Cause(about, "has ready pods and no endpoints for them yet", do=(step,))
    if spec.get("type") == "LoadBalancer" and not _ingress(service):
        return Cause(
            about,
            "waits for an external address: no cloud gives one here",
            (f"inside the cluster it works, with {plural(ready, 'endpoint')}",),
            do=("use type NodePort, or kubectl port-forward",),
        )
    return Cause(about, f"has {plural(ready, 'ready endpoint')}", healthy=True)


def _ingress(service: Obj) -> object:
    return ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress")


def _ready_endpoints(world: World, service: Obj) -> int:
    name = meta.name_of(service)
    slices = [each for each in world.all("endpointslices") if meta.labels(each).get(SERVICE_NAME) == name]
    endpoints = [endpoint for each in slices for endpoint in each.get("endpoints") or ()]
    return sum((each.get("conditions") or {}).get("ready") is not False for each in endpoints)


def _by_hand(about: str, ready: int) -> Cause:
    if ready:
        return Cause(about, f"has {plural(ready, 'endpoint')} made by hand", healthy=True)
    step = "add a selector, or make an EndpointSlice for it"
    return Cause(about, "has no selector, and nobody has made endpoints for it", do=(step,))


def _nobody(world: World, about: str, selector: dict[str, str]) -> Cause:
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
    facts = []
    for pod in world.all("pods"):
        labels = meta.labels(pod)
        off = [key for key, value in selector.items() if labels.get(key) != value]
        if len(off) < len(selector) or any(key in labels for key in off):
            shown = ", ".join(f"{key}={labels.get(key, '(not set)')}" for key in off)
            facts.append(f"pod/{meta.name_of(pod)} comes near: {shown}")
    step = f"give the pods the labels {wanted}, or correct the selector"
    return Cause(about, f"selects {wanted}: no pod has that", tuple(facts[:3]), do=(step,))


def _wrong_port(service: Obj, matching: list[Obj]) -> tuple[str, ...]:
    """A targetPort by name that no container declares."""
    names = {
        port.get("name")
        for pod in matching
        for container in pod["spec"].get("containers") or ()
        for port in container.get("ports") or ()
    }
    wrong = [
        port["targetPort"]
        for port in service["spec"].get("ports") or ()
        if isinstance(port.get("targetPort"), str) and port["targetPort"] not in names
    ]
    known = ", ".join(sorted(name for name in names if name)) or "none"
    return tuple(f"targetPort {each!r}; the pods' ports have the names: {known}" for each in wrong)
