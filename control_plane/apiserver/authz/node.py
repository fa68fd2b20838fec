"""The Node authorizer: a kubelet reads what the pods bound to its node need, and writes its own things.

Whose node it is comes from the user name `system:node:<name>` in group `system:nodes`. For secrets, config
maps, claims, volumes and tokens the question is whether a pod on that node refers to the object; it is
answered from the pods of the object's namespace as the watch cache has them, with no graph to keep. The rest
is the fixed rules of `system:node`. Admission (NodeRestriction) checks what only the object tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from control_plane.api import meta, selectors
from control_plane.apiserver.admission.interface import Object, Reader
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz import pod_references
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.authz.rules import Rule, rules_allow

USER_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
LEASE_NAMESPACE = "kube-node-lease"

Answer = tuple[Decision, str]
_ALLOW: Answer = (Decision.ALLOW, "")
_UNRELATED = "no relationship found"


def node_name_of(user: UserInfo) -> str | None:
    """The node that the user is, "" for a node without a name; None for anyone else."""
    if NODES_GROUP not in user.groups or not user.name.startswith(USER_PREFIX):
        return None
    return user.name.removeprefix(USER_PREFIX)


class NodeAuthorizer:
    def __init__(self, reader: Reader, node_rules: Sequence[Rule]) -> None:
        self._reader = reader
        self._node_rules = tuple(node_rules)
        self._special: dict[tuple[str, str], Callable[[str, Attributes], Answer]] = {
            ("", "secrets"): self._read_namespaced,
            ("", "configmaps"): self._read_namespaced,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("", "serviceaccounts"): self._create_token,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("resource.k8s.io", "resourceslices"): self._resource_slice,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
        }

    async def authorize(self, attributes: Attributes) -> Answer:
        node = node_name_of(attributes.user)
        if node is None:
            return Decision.NO_OPINION, ""
        if not node:
            return _refuse(f'unknown node for user "{attributes.user.name}"')
        special = self._special.get((attributes.group, attributes.resource))
        if special is not None:
            answer = special(node, attributes)
            if answer[1].startswith(_UNRELATED):  # the node may have heard of its pod from a quicker server
                await self._reader.catch_up()
                answer = special(node, attributes)
            return answer
        return _ALLOW if rules_allow(self._node_rules, attributes) else _refuse("")

    def _read_namespaced(self, node: str, a: Attributes) -> Answer:
        if a.verb not in ("get", "list", "watch"):
            return _refuse("can only read resources of this type")
        if a.subresource:
            return _refuse("cannot read subresource")
        if not a.namespace:
            return _refuse("can only read namespaced object of this type")
        return self._related(node, a)

    def _get(self, node: str, a: Attributes) -> Answer:
        if a.verb != "get":
            return _refuse("can only get individual resources of this type")
        if a.subresource:
            return _refuse("cannot get subresource")
        return self._related(node, a)

    def _claim(self, node: str, a: Attributes) -> Answer:
        if a.subresource != "status":
            return self._get(node, a)
        if a.verb not in ("update", "patch"):
            return _refuse("can only get/update/patch this type")
        return self._related(node, a)

    def _create_token(self, node: str, a: Attributes) -> Answer:
        if a.verb != "create" or not a.name:
            return _refuse("can only create tokens for individual service accounts")
        if a.subresource != "token":
            return _refuse("can only create token subresource of serviceaccount")
        return self._related(node, a)

    def _pod(self, node: str, a: Attributes) -> Answer:
        if a.subresource == "" and a.verb == "get":
            return self._get(node, a)
        if a.subresource == "" and a.verb in ("list", "watch"):
            if _selects(a.field_selector, "spec.nodeName", node):
                return _ALLOW
            if a.name:
                return self._related(node, a)
            return _refuse("can only list/watch pods with spec.nodeName field selector")
        allowed = {"": ("create", "delete"), "status": ("update", "patch"), "eviction": ("create",)}
        return _ALLOW if a.verb in allowed.get(a.subresource, ()) else _refuse("")

    def _resource_slice(self, node: str, a: Attributes) -> Answer:
        if a.subresource:
            return _refuse("cannot authorize ResourceSlice subresources")
        if a.verb == "create":
            return _ALLOW
        if a.verb in ("get", "update", "patch", "delete"):
            return self._related(node, a)
        if a.verb in ("watch", "list", "deletecollection"):
            if _selects(a.field_selector, "spec.nodeName", node):
                return _ALLOW
            return _refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return _refuse(
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )

    def _related(self, node: str, a: Attributes) -> Answer:
        if not a.name:  # a list or watch of one object names it in its selector
            a = replace(a, name=_required(a.field_selector, "metadata.name") or "")
        if not a.name:
            return _refuse("No Object name found")
        if self._is_related(node, a):
            return _ALLOW
        return _refuse(f"{_UNRELATED} between node '{node}' and this object")

    def _is_related(self, node: str, a: Attributes) -> bool:
        match a.resource:
            case "persistentvolumes":
                return self._volume_related(node, a.name)
            case "volumeattachments":
                found = self._reader.get("storage.k8s.io", "volumeattachments", "", a.name)
                return found is not None and (found.get("spec") or {}).get("nodeName") == node
            case "resourceslices":
                found = self._reader.get("resource.k8s.io", "resourceslices", "", a.name)
                return found is not None and (found.get("spec") or {}).get("nodeName") == node
            case "pods":
                pod = self._reader.get("", "pods", a.namespace, a.name)
                return pod is not None and _on_node(pod, node)
            case "configmaps" if self._configures_node(node, a.namespace, a.name):
                return True
            case "secrets" if self._secret_of_volume(node, a.namespace, a.name):
                return True
        return self._pod_refers(node, a.namespace, a.resource, a.name)

    def _pod_refers(self, node: str, namespace: str, resource: str, name: str) -> bool:
        return any(
            _on_node(pod, node) and pod_references.refers(pod, resource, name)
            for pod in self._reader.list("", "pods", namespace)
        )

    def _volume_related(self, node: str, name: str) -> bool:
        volume = self._reader.get("", "persistentvolumes", "", name)
        if _belongs_to(volume or {}, node):
            return True
        claim = (volume or {}).get("spec", {}).get("claimRef") or {}
        namespace = claim.get("namespace", "")
        return bool(namespace) and self._pod_refers(
            node, namespace, "persistentvolumeclaims", claim.get("name", "")
        )

    def _secret_of_volume(self, node: str, namespace: str, name: str) -> bool:
        """Volumes can name secrets, in any namespace, that their pods' node must read."""
        return any(
            (namespace, name) in pod_references.volume_secrets(volume)
            and self._volume_related(node, volume["metadata"]["name"])
            for volume in self._reader.list("", "persistentvolumes")
        )

    def _configures_node(self, node: str, namespace: str, name: str) -> bool:
        found = self._reader.get("", "nodes", "", node)
        source = ((found or {}).get("spec") or {}).get("configSource") or {}
        config_map = source.get("configMap") or {}
        return (config_map.get("namespace"), config_map.get("name")) == (namespace, name)


def _on_node(pod: Object, node: str) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName") == node)


def _lease(node: str, a: Attributes) -> Answer:
    if a.verb not in ("get", "create", "update", "patch", "delete"):
        return _refuse("can only get, create, update, patch, or delete a node lease")
    if a.namespace != LEASE_NAMESPACE:
        return _refuse(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if a.verb != "create" and a.name != node:
        return _refuse("can only access node lease with the same name as the requesting node")
    return _ALLOW


def _csi_node(node: str, a: Attributes) -> Answer:
    if a.verb not in ("get", "create", "update", "patch", "delete"):
        return _refuse("can only get, create, update, patch, or delete a CSINode")
    if a.subresource:
        return _refuse("cannot authorize CSINode subresources")
    if a.verb != "create" and a.name != node:
        return _refuse("can only access CSINode with the same name as the requesting node")
    return _ALLOW


def _node(node: str, a: Attributes) -> Answer:
    if a.subresource == "status":
        return _ALLOW if a.verb in ("update", "patch") else _refuse("")
    if a.subresource:
        return _refuse("")
    if a.verb in ("create", "update", "patch"):
        return _ALLOW
    if a.verb not in ("get", "list", "watch"):
        return _refuse("")
    if a.name == node or (not a.name and _selects(a.field_selector, "metadata.name", node)):
        return _ALLOW
    if not a.name:
        return _refuse(f"node '{node}' cannot read all nodes, only its own Node object")
    return _refuse(f"node '{node}' cannot read '{a.name}', only its own Node object")


def _selects(field_selector: str, field: str, value: str) -> bool:
    """Whether the selector demands that the field have exactly this value."""
    return _required(field_selector, field) == value


def _required(field_selector: str, field: str) -> str | None:
    if not field_selector:
        return None
    try:
        return selectors.parse_fields(field_selector).required_value(field)
    except selectors.SelectorError:
        return None


def _refuse(reason: str) -> Answer:
    return Decision.NO_OPINION, reason


def _belongs_to(volume: Object, node: str) -> bool:
    """Its data can be reached from this node alone, whether a pod uses it now or not."""
    required = meta.nested(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms", default=())
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return len(required) == 1 and here in (required[0].get("matchExpressions") or ())
