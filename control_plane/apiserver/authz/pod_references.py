"""What a pod refers to: the secrets, config maps, claims and accounts without which it cannot run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from control_plane.api import meta

Object = dict[str, Any]

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def refers(pod: Object, resource: str, name: str) -> bool:
    """Whether the pod needs the object of that name in its own namespace. A mirror pod needs nothing."""
    if MIRROR_ANNOTATION in meta.annotations(pod):
        return False
    spec = pod.get("spec") or {}
    match resource:
        case "serviceaccounts":
            return bool(spec.get("serviceAccountName") == name)
        case "secrets":
            return name in secrets(spec)
        case "configmaps":
            return name in config_maps(spec)
        case "persistentvolumeclaims":
            return name in claims(pod)
        case "resourceclaims":
            return name in resource_claims(pod)
    return False


def secrets(spec: Object) -> Iterator[str]:
    for reference in spec.get("imagePullSecrets") or ():
        yield reference.get("name", "")
    yield from _from_environment(spec, "secretRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        if "secret" in volume:
            yield volume["secret"].get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "secret" in source:
                yield source["secret"].get("name", "")
        yield from _plugin_secrets(volume)


def config_maps(spec: Object) -> Iterator[str]:
    yield from _from_environment(spec, "configMapRef", "configMapKeyRef")
    for volume in spec.get("volumes") or ():
        if "configMap" in volume:
            yield volume["configMap"].get("name", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "configMap" in source:
                yield source["configMap"].get("name", "")


def claims(pod: Object) -> Iterator[str]:
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"].get("claimName", "")
        elif "ephemeral" in volume:
            yield f"{meta.name_of(pod)}-{volume.get('name', '')}"


def resource_claims(pod: Object) -> Iterator[str]:
    for claim in (pod.get("spec") or {}).get("resourceClaims") or ():
        if claim.get("resourceClaimName"):
            yield claim["resourceClaimName"]
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        if status.get("resourceClaimName"):
            yield status["resourceClaimName"]


def volume_secrets(volume: Object) -> set[tuple[str, str]]:
    """The secrets (namespace, name) that a PersistentVolume names."""
    spec = volume.get("spec") or {}
    claim_namespace = (spec.get("claimRef") or {}).get("namespace", "")
    found: set[tuple[str, str]] = set()
    for source in spec.values():
        for key, reference in source.items() if isinstance(source, dict) else ():
            if key.lower().endswith("secretref") and isinstance(reference, dict):
                found.add((reference.get("namespace") or claim_namespace, reference.get("name", "")))
    return found


def _from_environment(spec: Object, whole: str, single: str) -> Iterator[str]:
    for containers in CONTAINER_LISTS:
        for container in spec.get(containers) or ():
            for source in container.get("envFrom") or ():
                if whole in source:
                    yield source[whole].get("name", "")
            for variable in container.get("env") or ():
                value_from = variable.get("valueFrom") or {}
                if single in value_from:
                    yield value_from[single].get("name", "")


def _plugin_secrets(volume: Object) -> Iterator[str]:
    """`secretRef`, `nodePublishSecretRef` … of volume plugins; Azure files call it secretName."""
    for kind, source in volume.items():
        if not isinstance(source, dict):
            continue
        if kind == "azureFile":
            yield source.get("secretName", "")
        for key, reference in source.items():
            if key.lower().endswith("secretref") and isinstance(reference, dict):
                yield reference.get("name", "")
