"""Pods and pod templates."""

from __future__ import annotations

from functools import partial

from control_plane.api.defaults.registry import Object, defaults, each, fill, struct
from control_plane.api.pod_resources import HUGE_PAGES, is_pod_level, of_container, of_containers

_POD_SPEC = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "terminationGracePeriodSeconds": 30,
    "schedulerName": "default-scheduler",
    "securityContext": {},
}
_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_HTTP_GET = {"path": "/", "scheme": "HTTP"}
_FILE_MODE: Object = {"defaultMode": 0o644}
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")

_VOLUMES: dict[str, Object] = {
    "secret": _FILE_MODE,
    "configMap": _FILE_MODE,
    "downwardAPI": _FILE_MODE,
    "projected": _FILE_MODE,
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


@defaults("v1", "Pod")
def pod(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"enableServiceLinks": True})
    pod_spec(spec)
    if spec.get("hostNetwork"):
        for container in each(spec, *_CONTAINER_LISTS):
            for port in each(container, "ports"):
                fill(port, {"hostPort": port.get("containerPort", 0)})
    for container in each(spec, "initContainers", "containers"):
        requests_from_limits(struct(container, "resources"))
    if "resources" in spec:
        _pod_level(spec)


@defaults("v1", "PodTemplate")
def pod_template_object(obj: Object) -> None:
    pod_template(struct(obj, "template"))


def pod_template(template: Object) -> None:
    struct(template, "metadata")
    pod_spec(struct(template, "spec"))


def pod_spec(spec: Object) -> None:
    fill(spec, _POD_SPEC)
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in each(spec, "volumes"):
        _volume(volume)
    for container in each(spec, *_CONTAINER_LISTS):
        _container(container)


def pull_policy(image: str) -> str:
    """Always for `latest` and for no tag at all."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def requests_from_limits(resources: Object) -> None:
    """What is limited and not requested is requested as much as it is limited."""
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _pod_level(spec: Object) -> None:
    """Huge pages are limited as the containers' are together; what is limited and not requested is requested as
    the containers do together, else as much as it is limited (KEP 2837)."""
    resources = spec["resources"]
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    if limits or requests:
        together = of_containers(spec, partial(of_container, kind="limits"))
        for name, amount in together.items():
            if name.startswith(HUGE_PAGES) and name not in requests:
                limits.setdefault(name, str(amount))
    if limits:
        together = of_containers(spec, partial(of_container, kind="requests"))
        for name, amount in together.items():
            if is_pod_level(name) and not name.startswith(HUGE_PAGES):
                requests.setdefault(name, str(amount))
        requests = {name: limits[name] for name in limits if is_pod_level(name)} | requests
    for kind, amounts in (("limits", limits), ("requests", requests)):
        if amounts:
            resources[kind] = amounts


def _container(container: Object) -> None:
    fill(container, {"imagePullPolicy": pull_policy(container.get("image", ""))})
    fill(container, _CONTAINER)
    for port in each(container, "ports"):
        fill(port, {"protocol": "TCP"})
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and "httpGet" in hook:
            fill(hook["httpGet"], _HTTP_GET)
    for variable in each(container, "env"):
        _field_reference(variable.get("valueFrom"))


def _probe(probe: Object) -> None:
    for key, value in _PROBE.items():
        if not probe.get(key):
            probe[key] = value
    if "httpGet" in probe:
        fill(probe["httpGet"], _HTTP_GET)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _volume(volume: Object) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    for kind, values in _VOLUMES.items():
        if kind in volume:
            fill(volume[kind], values)
    if "image" in volume:
        fill(volume["image"], {"pullPolicy": pull_policy(volume["image"].get("reference", ""))})
    for item in each(volume.get("downwardAPI") or {}, "items"):
        _field_reference(item)
    for source in each(volume.get("projected") or {}, "sources"):
        if "serviceAccountToken" in source:
            fill(source["serviceAccountToken"], {"expirationSeconds": 3600})
        for item in each(source.get("downwardAPI") or {}, "items"):
            _field_reference(item)
    if claim := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
        fill(struct(claim, "spec"), {"volumeMode": "Filesystem"})


def _field_reference(holder: Object | None) -> None:
    if holder and "fieldRef" in holder:
        fill(holder["fieldRef"], {"apiVersion": "v1"})
