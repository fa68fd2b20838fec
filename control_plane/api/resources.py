"""Every resource that kube-apiserver 1.36 serves by default, as one table.

Only versions that are generally available: alpha and beta groups are off by default upstream too. Two of the beta
ones can be had with `--runtime-config`.
`metrics.k8s.io` is no built-in; an aggregated server brings it. A test holds this table against what
lightkube-models generated from the published API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_VERBS = ("get", "list")
REVIEW_VERBS = ("create",)
ITEM_VERBS = ("get", "patch", "update")
CONNECT_VERBS = ("create", "get")
PROXY_VERBS = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """`kind` is what requests and replies hold; it may belong to another group (scale, eviction, token)."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""  # "" is the parent's kind
    group: str | None = None  # None is the parent's group and version
    version: str = ""


STATUS = Subresource("status", ITEM_VERBS)
SCALE = Subresource("scale", ITEM_VERBS, "Scale", "autoscaling", "v1")


@dataclass(frozen=True, slots=True)
class Row:
    resource: str
    kind: str
    short: str = ""
    categories: str = ""
    namespaced: bool = True
    verbs: tuple[str, ...] = ALL_VERBS
    sub: tuple[Subresource, ...] = ()
    stored_as: tuple[str, str] | None = None  # group and version in the store, where another version keeps it


def _cluster(
    resource: str, kind: str, short: str = "", categories: str = "", sub: tuple[Subresource, ...] = ()
) -> Row:
    return Row(resource, kind, short, categories, namespaced=False, sub=sub)


def _review(resource: str, kind: str, namespaced: bool = False) -> Row:
    return Row(resource, kind, namespaced=namespaced, verbs=REVIEW_VERBS)


_CORE = (
    _review("bindings", "Binding", namespaced=True),
    Row("componentstatuses", "ComponentStatus", "cs", namespaced=False, verbs=READ_VERBS),
    Row("configmaps", "ConfigMap", "cm"),
    Row("endpoints", "Endpoints", "ep"),
    Row("events", "Event", "ev"),
    Row("limitranges", "LimitRange", "limits"),
    Row(
        "namespaces",
        "Namespace",
        "ns",
        namespaced=False,
        verbs=tuple(v for v in ALL_VERBS if v != "deletecollection"),
        sub=(Subresource("finalize", ("update",)), STATUS),
    ),
    _cluster("nodes", "Node", "no", sub=(Subresource("proxy", PROXY_VERBS, "NodeProxyOptions"), STATUS)),
    Row("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", sub=(STATUS,)),
    _cluster("persistentvolumes", "PersistentVolume", "pv", sub=(STATUS,)),
    Row(
        "pods",
        "Pod",
        "po",
        "all",
        sub=(
            Subresource("attach", CONNECT_VERBS, "PodAttachOptions"),
            Subresource("binding", ("create",), "Binding"),
            Subresource("ephemeralcontainers", ITEM_VERBS),
            Subresource("eviction", ("create",), "Eviction", "policy", "v1"),
            Subresource("exec", CONNECT_VERBS, "PodExecOptions"),
            Subresource("log", ("get",)),
            Subresource("portforward", CONNECT_VERBS, "PodPortForwardOptions"),
            Subresource("proxy", PROXY_VERBS, "PodProxyOptions"),
            Subresource("resize", ITEM_VERBS),
            STATUS,
        ),
    ),
    Row("podtemplates", "PodTemplate"),
    Row("replicationcontrollers", "ReplicationController", "rc", "all", sub=(SCALE, STATUS)),
    Row("resourcequotas", "ResourceQuota", "quota", sub=(STATUS,)),
    Row("secrets", "Secret"),
    Row(
        "serviceaccounts",
        "ServiceAccount",
        "sa",
        sub=(Subresource("token", ("create",), "TokenRequest", "authentication.k8s.io", "v1"),),
    ),
    Row(
        "services",
        "Service",
        "svc",
        "all",
        sub=(Subresource("proxy", PROXY_VERBS, "ServiceProxyOptions"), STATUS),
    ),
)

TABLE: Mapping[tuple[str, str], tuple[Row, ...]] = {
    ("", "v1"): _CORE,
    ("apiregistration.k8s.io", "v1"): (
        _cluster("apiservices", "APIService", "", "api-extensions", (STATUS,)),
    ),
    ("apps", "v1"): (
        Row("controllerrevisions", "ControllerRevision"),
        Row("daemonsets", "DaemonSet", "ds", "all", sub=(STATUS,)),
        Row("deployments", "Deployment", "deploy", "all", sub=(SCALE, STATUS)),
        Row("replicasets", "ReplicaSet", "rs", "all", sub=(SCALE, STATUS)),
        Row("statefulsets", "StatefulSet", "sts", "all", sub=(SCALE, STATUS)),
    ),
    ("events.k8s.io", "v1"): (Row("events", "Event", "ev", stored_as=("", "v1")),),
    ("authentication.k8s.io", "v1"): (
        _review("selfsubjectreviews", "SelfSubjectReview"),
        _review("tokenreviews", "TokenReview"),
    ),
    ("authorization.k8s.io", "v1"): (
        _review("localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True),
        _review("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        _review("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
        _review("subjectaccessreviews", "SubjectAccessReview"),
    ),
    ("autoscaling", "v2"): (
        Row("horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", "all", sub=(STATUS,)),
    ),
    ("autoscaling", "v1"): (
        Row(
            "horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
            "hpa",
            "all",
            sub=(STATUS,),
            stored_as=("autoscaling", "v2"),
        ),
    ),
    ("batch", "v1"): (
        Row("cronjobs", "CronJob", "cj", "all", sub=(STATUS,)),
        Row("jobs", "Job", "", "all", sub=(STATUS,)),
    ),
    ("certificates.k8s.io", "v1"): (
        _cluster(
            "certificatesigningrequests",
            "CertificateSigningRequest",
            "csr",
            sub=(Subresource("approval", ITEM_VERBS), STATUS),
        ),
    ),
    ("networking.k8s.io", "v1"): (
        _cluster("ingressclasses", "IngressClass"),
        Row("ingresses", "Ingress", "ing", sub=(STATUS,)),
        _cluster("ipaddresses", "IPAddress", "ip"),
        Row("networkpolicies", "NetworkPolicy", "netpol"),
        _cluster("servicecidrs", "ServiceCIDR", sub=(STATUS,)),
    ),
    ("policy", "v1"): (Row("poddisruptionbudgets", "PodDisruptionBudget", "pdb", sub=(STATUS,)),),
    ("rbac.authorization.k8s.io", "v1"): (
        _cluster("clusterrolebindings", "ClusterRoleBinding"),
        _cluster("clusterroles", "ClusterRole"),
        Row("rolebindings", "RoleBinding"),
        Row("roles", "Role"),
    ),
    ("storage.k8s.io", "v1"): (
        _cluster("csidrivers", "CSIDriver"),
        _cluster("csinodes", "CSINode"),
        Row("csistoragecapacities", "CSIStorageCapacity"),
        _cluster("storageclasses", "StorageClass", "sc"),
        _cluster("volumeattachments", "VolumeAttachment", sub=(STATUS,)),
        _cluster("volumeattributesclasses", "VolumeAttributesClass", "vac"),
    ),
    ("admissionregistration.k8s.io", "v1"): (
        _cluster("mutatingadmissionpolicies", "MutatingAdmissionPolicy", "", "api-extensions"),
        _cluster("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", "", "api-extensions"),
        _cluster("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", "", "api-extensions"),
        _cluster("validatingadmissionpolicies", "ValidatingAdmissionPolicy", "", "api-extensions", (STATUS,)),
        _cluster(
            "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", "", "api-extensions"
        ),
        _cluster("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "", "api-extensions"),
    ),
    ("apiextensions.k8s.io", "v1"): (
        _cluster(
            "customresourcedefinitions", "CustomResourceDefinition", "crd,crds", "api-extensions", (STATUS,)
        ),
    ),
    ("scheduling.k8s.io", "v1"): (_cluster("priorityclasses", "PriorityClass", "pc"),),
    ("coordination.k8s.io", "v1"): (Row("leases", "Lease"),),
    ("node.k8s.io", "v1"): (_cluster("runtimeclasses", "RuntimeClass"),),
    ("discovery.k8s.io", "v1"): (Row("endpointslices", "EndpointSlice"),),
    ("resource.k8s.io", "v1"): (
        _cluster("deviceclasses", "DeviceClass"),
        Row("resourceclaims", "ResourceClaim", sub=(STATUS,)),
        Row("resourceclaimtemplates", "ResourceClaimTemplate"),
        _cluster("resourceslices", "ResourceSlice"),
    ),
    ("flowcontrol.apiserver.k8s.io", "v1"): (
        _cluster("flowschemas", "FlowSchema", sub=(STATUS,)),
        _cluster("prioritylevelconfigurations", "PriorityLevelConfiguration", sub=(STATUS,)),
    ),
}
"""In the order in which discovery lists groups, and within a group the preferred version first."""

_DEVICES = ("resource.k8s.io", "v1")

OFF_BY_DEFAULT: Mapping[tuple[str, str], tuple[Row, ...]] = {
    ("certificates.k8s.io", "v1beta1"): (_cluster("clustertrustbundles", "ClusterTrustBundle"),),
    ("resource.k8s.io", "v1beta2"): (
        Row("deviceclasses", "DeviceClass", namespaced=False, stored_as=_DEVICES),
        _cluster("devicetaintrules", "DeviceTaintRule", sub=(STATUS,)),
        Row("resourceclaims", "ResourceClaim", sub=(STATUS,), stored_as=_DEVICES),
        Row("resourceclaimtemplates", "ResourceClaimTemplate", stored_as=_DEVICES),
        Row("resourceslices", "ResourceSlice", namespaced=False, stored_as=_DEVICES),
    ),
    ("storagemigration.k8s.io", "v1beta1"): (
        _cluster("storageversionmigrations", "StorageVersionMigration", sub=(STATUS,)),
    ),
}
"""Served where `--runtime-config` says so, as upstream."""

_SCHEMA_PACKAGES = {
    "": "io.k8s.api.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def definition_name(group: str, version: str, kind: str) -> str:
    """The name under which OpenAPI describes a kind; that of a custom one begins with its group backwards."""
    package = _SCHEMA_PACKAGES.get(group)
    if package is None and ((group, version) in TABLE or (group, version) in OFF_BY_DEFAULT):
        package = f"io.k8s.api.{group.split('.')[0]}"
    elif package is None:
        package = ".".join(reversed(group.split(".")))
    return f"{package}.{version}.{kind}"
