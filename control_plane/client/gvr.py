"""Group, version, resource: how a client names what it talks about, and the paths that follow from it.

A GVR is all a client needs to build a URL; nothing here knows a schema. The constants name the built-in
resources that the control loops and the node agent use; any other (custom) resource is `GVR(...)` away.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

_SAFE = ":@!$'()*+,;=~-._"  # legal in a path segment (RFC 3986 pchar): RBAC names keep their colons


@dataclass(frozen=True, slots=True)
class GVR:
    group: str
    version: str
    resource: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection (no name), of one object, or of its subresource."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, _SAFE)]
        parts.append(self.resource)
        if name:
            parts.append(quote(name, _SAFE))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


def _core(resource: str, namespaced: bool = True) -> GVR:
    return GVR("", "v1", resource, namespaced)


PODS = _core("pods")
SERVICES = _core("services")
ENDPOINTS = _core("endpoints")
CONFIGMAPS = _core("configmaps")
SECRETS = _core("secrets")
SERVICE_ACCOUNTS = _core("serviceaccounts")
EVENTS = _core("events")
LIMIT_RANGES = _core("limitranges")
RESOURCE_QUOTAS = _core("resourcequotas")
REPLICATION_CONTROLLERS = _core("replicationcontrollers")
POD_TEMPLATES = _core("podtemplates")
PERSISTENT_VOLUME_CLAIMS = _core("persistentvolumeclaims")
NODES = _core("nodes", namespaced=False)
NAMESPACES = _core("namespaces", namespaced=False)
PERSISTENT_VOLUMES = _core("persistentvolumes", namespaced=False)

DEPLOYMENTS = GVR("apps", "v1", "deployments")
REPLICA_SETS = GVR("apps", "v1", "replicasets")
STATEFUL_SETS = GVR("apps", "v1", "statefulsets")
DAEMON_SETS = GVR("apps", "v1", "daemonsets")
CONTROLLER_REVISIONS = GVR("apps", "v1", "controllerrevisions")
JOBS = GVR("batch", "v1", "jobs")
CRON_JOBS = GVR("batch", "v1", "cronjobs")
HORIZONTAL_POD_AUTOSCALERS = GVR("autoscaling", "v2", "horizontalpodautoscalers")
POD_DISRUPTION_BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")
ENDPOINT_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
LEASES = GVR("coordination.k8s.io", "v1", "leases")
INGRESSES = GVR("networking.k8s.io", "v1", "ingresses")
INGRESS_CLASSES = GVR("networking.k8s.io", "v1", "ingressclasses", namespaced=False)
NETWORK_POLICIES = GVR("networking.k8s.io", "v1", "networkpolicies")
SERVICE_CIDRS = GVR("networking.k8s.io", "v1", "servicecidrs", namespaced=False)
IP_ADDRESSES = GVR("networking.k8s.io", "v1", "ipaddresses", namespaced=False)
ROLES = GVR("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS = GVR("rbac.authorization.k8s.io", "v1", "rolebindings")
CLUSTER_ROLES = GVR("rbac.authorization.k8s.io", "v1", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = GVR("rbac.authorization.k8s.io", "v1", "clusterrolebindings", namespaced=False)
PRIORITY_CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses", namespaced=False)
RUNTIME_CLASSES = GVR("node.k8s.io", "v1", "runtimeclasses", namespaced=False)
STORAGE_CLASSES = GVR("storage.k8s.io", "v1", "storageclasses", namespaced=False)
CSI_DRIVERS = GVR("storage.k8s.io", "v1", "csidrivers", namespaced=False)
CSI_NODES = GVR("storage.k8s.io", "v1", "csinodes", namespaced=False)
CSI_STORAGE_CAPACITIES = GVR("storage.k8s.io", "v1", "csistoragecapacities")
VOLUME_ATTRIBUTES_CLASSES = GVR("storage.k8s.io", "v1", "volumeattributesclasses", namespaced=False)
VOLUME_ATTACHMENTS = GVR("storage.k8s.io", "v1", "volumeattachments", namespaced=False)
CERTIFICATE_SIGNING_REQUESTS = GVR(
    "certificates.k8s.io", "v1", "certificatesigningrequests", namespaced=False
)
CUSTOM_RESOURCE_DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
API_SERVICES = GVR("apiregistration.k8s.io", "v1", "apiservices", namespaced=False)
RESOURCE_CLAIMS = GVR("resource.k8s.io", "v1", "resourceclaims")
RESOURCE_CLAIM_TEMPLATES = GVR("resource.k8s.io", "v1", "resourceclaimtemplates")
RESOURCE_SLICES = GVR("resource.k8s.io", "v1", "resourceslices", namespaced=False)
DEVICE_CLASSES = GVR("resource.k8s.io", "v1", "deviceclasses", namespaced=False)
DEVICE_TAINT_RULES = GVR("resource.k8s.io", "v1beta2", "devicetaintrules", namespaced=False)
STORAGE_VERSION_MIGRATIONS = GVR(
    "storagemigration.k8s.io", "v1beta1", "storageversionmigrations", namespaced=False
)
TOKEN_REVIEWS = GVR("authentication.k8s.io", "v1", "tokenreviews", namespaced=False)
SUBJECT_ACCESS_REVIEWS = GVR("authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False)
