"""What a request is about: its path, taken apart, and its selectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from control_plane.api import meta, selectors
from control_plane.client.types import Obj

KINDS = {
    "pods": "Pod",
    "nodes": "Node",
    "services": "Service",
    "endpoints": "Endpoints",
    "endpointslices": "EndpointSlice",
    "networkpolicies": "NetworkPolicy",
    "ingresses": "Ingress",
    "storageclasses": "StorageClass",
    "priorityclasses": "PriorityClass",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "configmaps": "ConfigMap",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "serviceaccounts": "ServiceAccount",
    "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding",
    "rolebindings": "RoleBinding",
    "cronjobs": "CronJob",
    "resourcequotas": "ResourceQuota",
    "limitranges": "LimitRange",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "persistentvolumes": "PersistentVolume",
    "replicationcontrollers": "ReplicationController",
    "controllerrevisions": "ControllerRevision",
    "certificatesigningrequests": "CertificateSigningRequest",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "volumeattachments": "VolumeAttachment",
    "resourceclaims": "ResourceClaim",
    "resourceclaimtemplates": "ResourceClaimTemplate",
    "resourceslices": "ResourceSlice",
    "deviceclasses": "DeviceClass",
}


@dataclass(slots=True)
class Where:
    """A request path taken apart."""

    group: str
    version: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def table(self) -> tuple[str, str]:
        return self.group, self.resource

    @property
    def kind(self) -> str:
        return KINDS.get(self.resource, self.resource[:-1].capitalize())

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def parse(path: str) -> Where:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    return Where(group, version, rest[0], namespace, *rest[1:3])


def in_scope(where: Where, obj: Obj) -> bool:
    return where.namespace in ("", meta.namespace_of(obj))


def matcher(params: Mapping[str, str]) -> Callable[[Obj], bool]:
    labels = selectors.parse_labels(params.get("labelSelector", ""))
    fields = params.get("fieldSelector", "")
    return lambda obj: labels.matches(meta.labels(obj)) and _fields_match(obj, fields)


def _fields_match(obj: Obj, selector: str) -> bool:
    for term in filter(None, selector.split(",")):
        path, _, wanted = term.replace("==", "=").partition("=")
        negated = path.endswith("!")
        value = meta.nested(obj, *path.rstrip("!").split("."), default="")
        if (str(value) == wanted) == negated:
            return False
    return True
