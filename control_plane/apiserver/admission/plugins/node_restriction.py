"""NodeRestriction: a kubelet changes its own node, its own pods, and nothing by which it could draw work to
itself.

The Node authorizer has let the request through by its name; here the object is looked at. Labels below
node-restriction.kubernetes.io belong to the administrator; of Kubernetes' own a kubelet sets a known few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from control_plane.api import errors, meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, forbidden
from control_plane.apiserver.authz import pod_references
from control_plane.apiserver.authz.node import LEASE_NAMESPACE, node_name_of

RESTRICTED_DOMAIN = "node-restriction.kubernetes.io"
KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    }
)
KUBELET_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
KUBERNETES_DOMAINS = ("kubernetes.io", "k8s.io")
UPDATABLE_CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")


class NodeRestriction(Plugin):
    name = "NodeRestriction"

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader
        self._checks: dict[tuple[str, str], Callable[[str, AdmissionRequest], None]] = {
            ("", "pods"): self._pods,
            ("", "nodes"): _node,
            ("", "persistentvolumeclaims"): _claim,
            ("", "serviceaccounts"): self._service_account,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("resource.k8s.io", "resourceslices"): _resource_slice,
        }

    async def mutate(self, request: AdmissionRequest) -> None:
        node = node_name_of(request.user)
        if node is None or request.operation is Operation.CONNECT:
            return
        if not node:
            raise forbidden(request, f'could not determine node from user "{request.user.name}"')
        check = self._checks.get((request.group, request.resource))
        if check is not None:
            check(node, request)

    def _pods(self, node: str, request: AdmissionRequest) -> None:
        match request.subresource:
            case "":
                self._pod(node, request)
            case "status":
                _pod_status(node, request)
            case "eviction":
                self._check_on_node(
                    node, request, f"node {node} can only evict pods with spec.nodeName set to itself"
                )
            case other:
                raise forbidden(
                    request,
                    f"unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed",
                )

    def _pod(self, node: str, request: AdmissionRequest) -> None:
        if request.operation is Operation.CREATE:
            self._mirror_pod(node, request, request.object or {})
        elif request.operation is Operation.DELETE:
            why = f'node "{node}" can only delete pods with spec.nodeName set to itself'
            self._check_on_node(node, request, why)
        else:
            raise forbidden(
                request,
                f'unexpected operation "{request.operation}", node "{node}" can only create and delete mirror pods',
            )

    def _check_on_node(self, node: str, request: AdmissionRequest, why: str) -> None:
        name = request.name or meta.name_of(request.object or {})
        pod = self._reader.get("", "pods", request.namespace, name)
        if pod is None:
            raise errors.not_found("", "pods", name)
        if meta.nested(pod, "spec", "nodeName") != node:
            raise forbidden(request, why)

    def _mirror_pod(self, node: str, request: AdmissionRequest, pod: Object) -> None:
        spec = pod.get("spec") or {}
        if pod_references.MIRROR_ANNOTATION not in meta.annotations(pod):
            raise forbidden(
                request,
                f'pod does not have "{pod_references.MIRROR_ANNOTATION}" annotation, node "{node}" can only '
                "create mirror pods",
            )
        if spec.get("nodeName") != node:
            raise forbidden(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
        self._mirror_owner(node, request, meta.owner_references(pod))
        referred = (
            ("a service account", [spec["serviceAccountName"]] if spec.get("serviceAccountName") else []),
            ("secrets", pod_references.secrets(spec)),
            ("configmaps", pod_references.config_maps(spec)),
            ("clustertrustbundles", _trust_bundles(spec)),
            ("persistentvolumeclaims", pod_references.claims(pod)),
            ("resourceclaims", spec.get("resourceClaims") or ()),
        )
        for what, names in referred:
            if any(True for _ in names):
                raise forbidden(request, f'node "{node}" can not create pods that reference {what}')

    def _mirror_owner(self, node: str, request: AdmissionRequest, owners: list[Object]) -> None:
        if len(owners) > 1:
            raise forbidden(
                request, f'node "{node}" can only create pods with a single owner reference set to itself'
            )
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise forbidden(
                request, f'node "{node}" can only create pods with an owner reference set to itself'
            )
        if not owner.get("controller"):
            raise forbidden(
                request, f'node "{node}" can only create pods with a controller owner reference set to itself'
            )
        if owner.get("blockOwnerDeletion"):
            raise forbidden(request, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        known = self._reader.get("", "nodes", "", node)
        if known is None:
            raise errors.not_found("", "nodes", node)
        if owner.get("uid") != meta.uid_of(known):
            raise forbidden(
                request, f"node {node} UID mismatch: expected {owner.get('uid')} got {meta.uid_of(known)}"
            )

    def _service_account(self, node: str, request: AdmissionRequest) -> None:
        if request.operation is not Operation.CREATE or request.subresource != "token":
            return
        spec = (request.object or {}).get("spec") or {}
        reference = spec.get("boundObjectRef") or {}
        kind = (reference.get("apiVersion"), reference.get("kind"))
        if kind != ("v1", "Pod") or not reference.get("name"):
            raise forbidden(request, "node requested token not bound to a pod")
        if not reference.get("uid"):
            raise forbidden(request, "node requested token with a pod binding without a uid")
        pod = self._reader.get("", "pods", request.namespace, reference["name"])
        if pod is None:
            raise errors.not_found("", "pods", reference["name"])
        if reference["uid"] != meta.uid_of(pod):
            raise forbidden(
                request,
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if meta.nested(pod, "spec", "nodeName") != node:
            raise forbidden(request, "node requested token bound to a pod scheduled on a different node")
        allowed = set(self._audiences(pod))
        for audience in spec.get("audiences") or [""]:
            if audience not in allowed:
                raise forbidden(request, f'audience "{audience}" not found in pod spec volume')

    def _audiences(self, pod: Object) -> Iterable[str]:
        """For whom the pod's volumes ask tokens: itself, and CSI drivers on its behalf."""
        for volume in meta.nested(pod, "spec", "volumes", default=None) or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if "serviceAccountToken" in source:
                    yield source["serviceAccountToken"].get("audience") or ""
            driver = (volume.get("csi") or {}).get("driver")
            found = self._reader.get("storage.k8s.io", "csidrivers", "", driver) if driver else None
            for requested in meta.nested(found or {}, "spec", "tokenRequests", default=None) or ():
                yield requested.get("audience") or ""


def _pod_status(node: str, request: AdmissionRequest) -> None:
    if request.operation is not Operation.UPDATE:
        raise forbidden(request, f'unexpected operation "{request.operation}"')
    old, new = request.old_object or {}, request.object or {}
    if meta.nested(old, "spec", "nodeName") != node:
        raise forbidden(
            request, f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
        )
    if meta.labels(old) != meta.labels(new):
        raise forbidden(request, f'node "{node}" cannot update labels through pod status')
    claims = [meta.nested(pod, "status", "resourceClaimStatuses", default=None) or [] for pod in (old, new)]
    if claims[0] != claims[1]:
        raise forbidden(request, f'node "{node}" cannot update resource claim statues')


def _node(node: str, request: AdmissionRequest) -> None:
    name = request.name or meta.name_of(request.object or {})
    if name != node:
        raise forbidden(request, f'node "{node}" is not allowed to modify node "{name}"')
    new, old = request.object or {}, request.old_object or {}
    if request.operation is Operation.CREATE:
        if meta.nested(new, "spec", "configSource"):
            raise forbidden(
                request, f'node "{node}" is not allowed to create pods with a non-nil configSource'
            )
        refused = forbidden_labels(meta.labels(new), {})
        if refused:
            raise forbidden(
                request, f'node "{node}" is not allowed to set the following labels: {", ".join(refused)}'
            )
    elif request.operation is Operation.UPDATE:
        _node_update(node, request, new, old)


def _node_update(node: str, request: AdmissionRequest, new: Object, old: Object) -> None:
    source = meta.nested(new, "spec", "configSource")
    if source and source != meta.nested(old, "spec", "configSource"):
        raise forbidden(
            request, f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
        )
    taints = [meta.nested(each, "spec", "taints", default=None) or [] for each in (new, old)]
    if taints[0] != taints[1]:
        raise forbidden(request, f'node "{node}" is not allowed to modify taints')
    refused = forbidden_labels(meta.labels(new), meta.labels(old))
    if refused:
        raise forbidden(request, f"is not allowed to modify labels: {', '.join(refused)}")
    if meta.owner_references(new) != meta.owner_references(old):
        raise forbidden(request, f'node "{node}" is not allowed to modify ownerReferences')


def forbidden_labels(new: Mapping[str, str], old: Mapping[str, str]) -> list[str]:
    """The labels that differ and that a kubelet must not touch."""
    changed = (key for key in new.keys() | old.keys() if new.get(key) != old.get(key))
    return sorted(key for key in changed if not _kubelet_may_set(key))


def _kubelet_may_set(label: str) -> bool:
    domain = label.partition("/")[0] if "/" in label else ""
    if _within(domain, (RESTRICTED_DOMAIN,)):
        return False
    if not _within(domain, KUBERNETES_DOMAINS):
        return True
    return label in KUBELET_LABELS or _within(domain, KUBELET_LABEL_DOMAINS)


def _within(domain: str, parents: Iterable[str]) -> bool:
    return any(domain == parent or domain.endswith("." + parent) for parent in parents)


def _trust_bundles(spec: Object) -> list[Any]:
    sources = [
        source
        for volume in spec.get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
    ]
    return [source for source in sources if "clusterTrustBundle" in source]


def _claim(node: str, request: AdmissionRequest) -> None:
    if request.subresource != "status":
        raise forbidden(request, "may only update PVC status")
    if request.operation is not Operation.UPDATE:
        raise forbidden(request, f'unexpected operation "{request.operation}"')
    if _fixed_part(request.object or {}) != _fixed_part(request.old_object or {}):
        raise forbidden(
            request,
            f'node "{node}" is not allowed to update fields other than status.capacity and status.conditions',
        )


def _fixed_part(claim: Object) -> Object:
    metadata = {
        k: v for k, v in meta.metadata(claim).items() if k not in ("resourceVersion", "managedFields")
    }
    status = {k: v for k, v in (claim.get("status") or {}).items() if k not in UPDATABLE_CLAIM_STATUS}
    return {**claim, "metadata": metadata, "status": status}


def _lease(node: str, request: AdmissionRequest) -> None:
    if request.namespace != LEASE_NAMESPACE:
        raise forbidden(request, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if _target(request) != node:
        raise forbidden(request, "can only access node lease with the same name as the requesting node")


def _csi_node(node: str, request: AdmissionRequest) -> None:
    if _target(request) != node:
        raise forbidden(request, "can only access CSINode with the same name as the requesting node")


def _resource_slice(node: str, request: AdmissionRequest) -> None:
    if request.operation is not Operation.CREATE:
        return  # the Node authorizer knows whose slice exists
    if meta.nested(request.object or {}, "spec", "nodeName") != node:
        raise forbidden(
            request, "can only create ResourceSlice with the same NodeName as the requesting node"
        )


def _target(request: AdmissionRequest) -> str:
    return request.name or meta.name_of(request.object or {})
