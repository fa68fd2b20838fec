"""Which ConfigMaps and Secrets a pod refers to, by variables and volumes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from node.agent.pod_spec import Obj, containers_by_role, namespace


@dataclass(frozen=True, slots=True)
class Ref:
    kind: str  # ConfigMap, Secret
    namespace: str
    name: str


def of_pod(pod: Obj) -> set[Ref]:
    return of_environment(pod) | {Ref(kind, namespace(pod), name) for kind, name in _volumes(pod) if name}


def of_environment(pod: Obj) -> set[Ref]:
    found = {each for _, container in containers_by_role(pod) for each in _variables(container)}
    return {Ref(kind, namespace(pod), name) for kind, name in found if name}


def _variables(container: Obj) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or []:
        yield "ConfigMap", (source.get("configMapRef") or {}).get("name", "")
        yield "Secret", (source.get("secretRef") or {}).get("name", "")
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        yield "ConfigMap", (source.get("configMapKeyRef") or {}).get("name", "")
        yield "Secret", (source.get("secretKeyRef") or {}).get("name", "")


def _volumes(pod: Obj) -> Iterator[tuple[str, str]]:
    for volume in pod["spec"].get("volumes") or []:
        yield "ConfigMap", (volume.get("configMap") or {}).get("name", "")
        yield "Secret", (volume.get("secret") or {}).get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or []:
            yield "ConfigMap", (source.get("configMap") or {}).get("name", "")
            yield "Secret", (source.get("secret") or {}).get("name", "")
