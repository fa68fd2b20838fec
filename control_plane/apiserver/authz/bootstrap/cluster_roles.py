"""The default ClusterRoles of Kubernetes 1.36, as data.

A rule is one line: `verbs | API groups | resources`, and `| names` where it is limited to objects of those
names. `core` is the group without a name. A line that begins with `urls` grants paths: `urls verbs | paths`.
Source: pkg plugin/pkg/auth/authorizer/rbac/bootstrappolicy.
"""

from __future__ import annotations

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
READ_WRITE = f"{WRITE} {READ}"
READ_UPDATE = f"{READ} patch update"

EVENTS = "create patch update | core events.k8s.io | events"
TOKEN_REVIEWS = "create | authentication.k8s.io | tokenreviews"  # noqa: S105 - a rule, no secret
ACCESS_REVIEWS = "create | authorization.k8s.io | subjectaccessreviews"

# Cluster roles that are made of others: name -> (the label that others carry, the label that it carries
# itself).
AGGREGATED: dict[str, tuple[str, str]] = {
    "admin": ("aggregate-to-admin", ""),
    "edit": ("aggregate-to-edit", "aggregate-to-admin"),
    "view": ("aggregate-to-view", "aggregate-to-edit"),
}

AGGREGATION_LABELS: dict[str, str] = {
    "system:aggregate-to-admin": "aggregate-to-admin",
    "system:aggregate-to-edit": "aggregate-to-edit",
    "system:aggregate-to-view": "aggregate-to-view",
}

NODE_RULES: tuple[str, ...] = (
    TOKEN_REVIEWS,
    "create | authorization.k8s.io | localsubjectaccessreviews subjectaccessreviews",
    f"{READ} | core | services",
    f"create {READ} | core | nodes",
    "patch update | core | nodes/status",
    "patch update | core | nodes",
    "create patch update | core | events",
    f"{READ} | core | pods",
    "create delete | core | pods",
    "patch update | core | pods/status",
    "create | core | pods/eviction",
    f"{READ} | core | configmaps secrets",
    "get | core | persistentvolumeclaims persistentvolumes",
    "get | core | endpoints",
    f"create {READ} | certificates.k8s.io | certificatesigningrequests",
    "create delete get patch update | coordination.k8s.io | leases",
    "get | storage.k8s.io | volumeattachments",
    "get patch update | core | persistentvolumeclaims/status",
    "create | core | serviceaccounts/token",
    f"{READ} | storage.k8s.io | csidrivers",
    "create delete get patch update | storage.k8s.io | csinodes",
    f"{READ} | node.k8s.io | runtimeclasses",
    "get | resource.k8s.io | resourceclaims",
    "deletecollection | resource.k8s.io | resourceslices",
    f"{READ} create delete patch update | resource.k8s.io | resourceslices",
    f"{READ} | certificates.k8s.io | clustertrustbundles",
    f"create {READ} | certificates.k8s.io | podcertificaterequests",
)

CLUSTER_ROLES: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("* | * | *", "urls * | *"),
    "system:discovery": (
        "urls get | /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
    ),
    "system:monitoring": (
        "urls get | /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
    ),
    "system:basic-user": (
        "create | authorization.k8s.io | selfsubjectaccessreviews selfsubjectrulesreviews",
        "create | authentication.k8s.io | selfsubjectreviews",
    ),
    "system:public-info-viewer": ("urls get | /healthz /livez /readyz /version /version/",),
    "system:aggregate-to-admin": (
        "create | authorization.k8s.io | localsubjectaccessreviews",
        f"{READ_WRITE} | rbac.authorization.k8s.io | rolebindings roles",
    ),
    "system:aggregate-to-edit": (
        f"{READ} | core | pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
        "impersonate | core | serviceaccounts",
        f"{WRITE} | core | pods pods/attach pods/exec pods/portforward pods/proxy",
        "create | core | pods/eviction",
        f"{WRITE} | core | configmaps events persistentvolumeclaims replicationcontrollers "
        "replicationcontrollers/scale secrets serviceaccounts services services/proxy",
        "create | core | serviceaccounts/token",
        f"{WRITE} | apps | daemonsets deployments deployments/rollback deployments/scale replicasets "
        "replicasets/scale statefulsets statefulsets/scale",
        f"{WRITE} | autoscaling | horizontalpodautoscalers",
        f"{WRITE} | batch | cronjobs jobs",
        f"{WRITE} | extensions | daemonsets deployments deployments/rollback deployments/scale ingresses "
        "networkpolicies replicasets replicasets/scale replicationcontrollers/scale",
        f"{WRITE} | policy | poddisruptionbudgets",
        f"{WRITE} | networking.k8s.io | ingresses networkpolicies",
        f"{READ_WRITE} | coordination.k8s.io | leases",
        f"{WRITE} | resource.k8s.io | resourceclaims resourceclaimtemplates",
    ),
    "system:aggregate-to-view": (
        f"{READ} | core | configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
        f"{READ} | core | bindings events limitranges namespaces/status pods/log pods/status "
        "replicationcontrollers/status resourcequotas resourcequotas/status",
        f"{READ} | core | namespaces",
        f"{READ} | discovery.k8s.io | endpointslices",
        f"{READ} | apps | controllerrevisions daemonsets daemonsets/status deployments deployments/scale "
        "deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale "
        "statefulsets/status",
        f"{READ} | autoscaling | horizontalpodautoscalers horizontalpodautoscalers/status",
        f"{READ} | batch | cronjobs cronjobs/status jobs jobs/status",
        f"{READ} | extensions | daemonsets daemonsets/status deployments deployments/scale deployments/status "
        "ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status "
        "replicationcontrollers/scale",
        f"{READ} | policy | poddisruptionbudgets poddisruptionbudgets/status",
        f"{READ} | networking.k8s.io | ingresses ingresses/status networkpolicies",
        f"{READ} | resource.k8s.io | resourceclaims resourceclaims/status resourceclaimtemplates",
    ),
    "system:heapster": (
        f"{READ} | core | events namespaces nodes pods",
        f"{READ} | extensions | deployments",
    ),
    "system:node": NODE_RULES,
    "system:node-problem-detector": (
        "get | core | nodes",
        "patch | core | nodes/status",
        EVENTS,
    ),
    "system:kubelet-api-admin": (
        f"{READ} | core | nodes",
        "proxy | core | nodes",
        "* | core | nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
    ),
    "system:node-bootstrapper": (f"create {READ} | certificates.k8s.io | certificatesigningrequests",),
    "system:auth-delegator": (TOKEN_REVIEWS, ACCESS_REVIEWS),
    "system:kube-aggregator": (f"{READ} | core | endpoints services",),
    "system:kube-controller-manager": (
        EVENTS,
        "create list watch | coordination.k8s.io | leases",
        "get update | coordination.k8s.io | leases | kube-controller-manager",
        "create | core | secrets serviceaccounts",
        "delete | core | secrets",
        "get | core | configmaps namespaces secrets serviceaccounts",
        "update | core | secrets serviceaccounts",
        TOKEN_REVIEWS,
        ACCESS_REVIEWS,
        "list watch | * | *",
        "create | core | serviceaccounts/token",
    ),
    "system:kube-dns": ("list watch | core | endpoints services",),
    "system:persistent-volume-provisioner": (
        f"create delete {READ} | core | persistentvolumes",
        f"{READ} update | core | persistentvolumeclaims",
        f"{READ} | storage.k8s.io | storageclasses",
        "watch | core | events",
        EVENTS,
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create | certificates.k8s.io | certificatesigningrequests/nodeclient",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create | certificates.k8s.io | certificatesigningrequests/selfnodeclient",
    ),
    "system:volume-scheduler": (
        f"{READ_UPDATE} | core | persistentvolumes",
        f"{READ} | storage.k8s.io | storageclasses",
        f"{READ_UPDATE} | core | persistentvolumeclaims",
    ),
    "system:certificates.k8s.io:legacy-unknown-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/legacy-unknown",
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/kubelet-serving",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet",
    ),
    "system:service-account-issuer-discovery": (
        "urls get | /.well-known/openid-configuration /.well-known/openid-configuration/ "
        "/openid/v1/jwks /openid/v1/jwks/",
    ),
    "system:cluster-trust-bundle-discovery": (f"{READ} | certificates.k8s.io | clustertrustbundles",),
    "system:node-proxier": (
        "list watch | core | endpoints services",
        f"{READ} | core | nodes",
        EVENTS,
        "list watch | discovery.k8s.io | endpointslices",
        "list watch | networking.k8s.io | servicecidrs",
    ),
    "system:kube-scheduler": (
        EVENTS,
        "create list watch | coordination.k8s.io | leases",
        "get update | coordination.k8s.io | leases | kube-scheduler",
        f"{READ} | core | nodes",
        f"delete {READ} | core | pods",
        "create | core | bindings pods/binding",
        "patch update | core | pods/status",
        f"{READ} | core | replicationcontrollers services",
        f"{READ} | apps extensions | replicasets",
        f"{READ} | apps | statefulsets",
        f"{READ} | policy | poddisruptionbudgets",
        f"{READ} | core | persistentvolumeclaims persistentvolumes",
        TOKEN_REVIEWS,
        ACCESS_REVIEWS,
        f"{READ} | storage.k8s.io | csinodes",
        f"{READ} | core | namespaces",
        f"{READ} | storage.k8s.io | csidrivers",
        f"{READ} | storage.k8s.io | csistoragecapacities",
        f"{READ} | storage.k8s.io | volumeattachments",
        f"create delete {READ} patch update | resource.k8s.io | resourceclaims",
        "patch update | resource.k8s.io | resourceclaims/binding resourceclaims/driver resourceclaims/status",
        f"{READ} | resource.k8s.io | deviceclasses devicetaintrules resourceslices",
        f"{READ} | scheduling.k8s.io | podgroups priorityclasses workloads",
        "patch update | scheduling.k8s.io | podgroups/status",
    ),
    # Ours: the process that plays many nodes, which the Node authorizer cannot speak for.
    "balsa:hollow-nodes": (
        f"create patch update {READ} | core | nodes",
        "patch update | core | nodes/status",
        f"delete {READ} | core | pods",
        "patch update | core | pods/status",
        f"create patch update {READ} | coordination.k8s.io | leases",
    ),
}

# Cluster roles bound to groups (G), users (U) and service accounts (S namespace/name) by a binding of their
# name.
CLUSTER_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("G system:masters",),
    "system:monitoring": ("G system:monitoring",),
    "system:discovery": ("G system:authenticated",),
    "system:basic-user": ("G system:authenticated",),
    "system:public-info-viewer": ("G system:authenticated", "G system:unauthenticated"),
    "system:node-proxier": ("U system:kube-proxy",),
    "system:kube-controller-manager": ("U system:kube-controller-manager",),
    "system:kube-dns": ("S kube-system/kube-dns",),
    "system:kube-scheduler": ("U system:kube-scheduler",),
    "system:volume-scheduler": ("U system:kube-scheduler",),
    "balsa:hollow-nodes": ("U balsa:hollow-nodes",),
    "system:node": (),  # the Node authorizer speaks for nodes; the empty binding removes an old subject
    "system:service-account-issuer-discovery": ("G system:serviceaccounts",),
    "system:cluster-trust-bundle-discovery": ("G system:serviceaccounts",),
}

# Ours: a node agent of Balsa is a kube-proxy as well, with one identity for both.
NODE_AGENTS_ARE_PROXIES = ("balsa:node-proxier", "system:node-proxier", ("G system:nodes",))
