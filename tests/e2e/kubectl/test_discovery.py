"""label, annotate; api-resources, api-versions, version; auth."""

from __future__ import annotations

import pytest

from tests.e2e.kubectl.transcript import check
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


def test_label_and_annotate(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ create configmap a
configmap/a created
$ label configmap a color=green
configmap/a labeled
$ label configmap a color=red
error: 'color' already has a value (green), and --overwrite is false
$ label configmap a color=red --overwrite
configmap/a labeled
$ label configmap a color=red
configmap/a not labeled
$ label configmap a size-
label "size" not found.
configmap/a not labeled
$ label configmap a color-
configmap/a unlabeled
$ label configmap a 'color=not valid'
error: invalid label value: "color=not valid": a valid label must be <*>
$ annotate configmap a note='hello there'
configmap/a {annotated|annotate}
$ annotate configmap a note=other
error: --overwrite is false but found the following declared annotation(s): 'note' already has a value (hello there)
$ annotate configmap a --list
note=hello there
$ annotate configmap a note-
configmap/a {annotated|annotate}
""",
    )


def test_api_resources(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ api-resources --api-group=apps
NAME                  SHORTNAMES   APIVERSION   NAMESPACED   KIND
controllerrevisions                apps/v1      true         ControllerRevision
daemonsets            ds           apps/v1      true         DaemonSet
deployments           deploy       apps/v1      true         Deployment
replicasets           rs           apps/v1      true         ReplicaSet
statefulsets          sts          apps/v1      true         StatefulSet
$ api-resources --api-group=batch -o wide
NAME       SHORTNAMES   APIVERSION   NAMESPACED   KIND      VERBS                                                        CATEGORIES
cronjobs   cj           batch/v1     true         CronJob   create,delete,deletecollection,get,list,patch,update,watch   all
jobs                    batch/v1     true         Job       create,delete,deletecollection,get,list,patch,update,watch   all
$ api-resources --api-group='' --namespaced=false --no-headers
componentstatuses   cs   v1   false   ComponentStatus
namespaces          ns   v1   false   Namespace
nodes               no   v1   false   Node
persistentvolumes   pv   v1   false   PersistentVolume
""",
    )
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1"} <= set(
        versions
    )
    assert versions == sorted(versions)


def test_version(kubectl: Kubectl) -> None:
    client = kubectl.json("version")["clientVersion"]
    assert client["minor"].rstrip("+") == kubectl.binary.name.rpartition(".")[2]
    server = kubectl.json("version")["serverVersion"]
    assert (server["major"], server["minor"], server["gitVersion"]) == ("1", "36", "v1.36.0+balsa")


def test_auth(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ auth can-i create deployments
yes
$ auth can-i create deployments --as=jane
no
$ auth can-i list pods --as=jane
no
$ create role reader --verb=list --resource=pods
role.rbac.authorization.k8s.io/reader created
$ create rolebinding readers --role=reader --user=jane
rolebinding.rbac.authorization.k8s.io/readers created
$? auth can-i list pods --as=jane
yes
$ auth can-i list unicorns
yes
Warning: the server doesn't have a resource type 'unicorns'
$ auth can-i --list --as=jane
Resources                                       Non-Resource URLs   Resource Names   Verbs
...
pods                                            []                  []               [list]
...
$ get pods --as=jane
No resources found in {namespace} namespace.
$ get secrets --as=jane
Error from server (Forbidden): secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" in the namespace "{namespace}"
$ auth reconcile -f - < RULES
role.rbac.authorization.k8s.io/writer reconciled
	reconciliation required create
	missing rules added:
		<*>Resources:[configmaps]<*>
""",
        {"RULES": RULES.replace("NAMESPACE", kubectl.namespace)},
    )


def test_who_am_i(kubectl: Kubectl) -> None:
    if kubectl.binary.name.endswith("1.27"):
        pytest.skip("it asks for a version of the API that Kubernetes 1.36 does not have")
    check(
        kubectl,
        """
$ auth whoami
ATTRIBUTE   VALUE
Username    kubernetes-admin
Groups      [system:masters system:authenticated]
? Extra: authentication.kubernetes.io/credential-id <*>
$ auth whoami --as=jane --as-group=admins
ATTRIBUTE   VALUE
Username    jane
Groups      [admins system:authenticated]
""",
    )


RULES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer, namespace: NAMESPACE}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [create]}]
"""
