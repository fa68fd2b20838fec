"""Pods with one thing about them, and what is said of it."""

from __future__ import annotations

from typing import Any

from tests.control_plane.api import samples
from tests.control_plane.api.samples import container

Object = dict[str, Any]
C = "spec.containers[0]"
V = "spec.volumes[0]"


def pod(**spec: Any) -> Object:
    return samples.pod(**spec)


def one(**fields: Any) -> Object:
    """A pod with one container."""
    return pod(containers=[container(**fields)])


def ports(*listed: Object, **more: Any) -> Object:
    return one(ports=list(listed), **more)


def secured(**context: Any) -> Object:
    return one(securityContext=context)


def probed(probe: Object, kind: str = "livenessProbe", **spec: Any) -> Object:
    return pod(containers=[container(**{kind: probe})], **spec)


def volume(**source: Any) -> Object:
    return pod(volumes=[{"name": "v", **source}])


def projected(**part: Any) -> Object:
    return volume(projected={"sources": [part]})


def mounted(**mount: Any) -> Object:
    mounts = [{"name": "v", "mountPath": "/v", **mount}]
    return pod(volumes=[{"name": "v", "emptyDir": {}}], containers=[container(volumeMounts=mounts)])


def env(**source: Any) -> Object:
    return one(env=[{"name": "A", "valueFrom": source}])


def on(system: str, **spec: Any) -> Object:
    return pod(os={"name": system}, **spec)


def node_affinity(**term: Any) -> Object:
    required = {"nodeSelectorTerms": [term]}
    return pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})


def claim_template(**spec: Any) -> Object:
    full = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return volume(ephemeral={"volumeClaimTemplate": {"spec": full}})
