"""`kubectl create`, each generator, and what `get` shows of it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.e2e.conftest import Cluster
from tests.e2e.kubectl.transcript import check
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


def test_configmap_and_secrets(kubectl: Kubectl, cluster: Cluster) -> None:
    pki = cluster.home / "pki"
    check(
        kubectl,
        f"""
$ create configmap settings --from-literal=a=b --from-literal=c=d
configmap/settings created
$ get configmap settings
NAME       DATA   AGE
settings   2      <age>
$ create configmap settings
error: failed to create configmap: configmaps "settings" already exists
$ create secret generic plain --from-literal=password=hidden
secret/plain created
$ create secret docker-registry registry --docker-username=me --docker-password=x --docker-server=r.example.com
secret/registry created
$ create secret tls pair --cert={pki}/node-1.crt --key={pki}/node-1.key
secret/pair created
$ get secrets
NAME       TYPE                             DATA   AGE
pair       kubernetes.io/tls                2      <age>
plain      Opaque                           1      <age>
registry   kubernetes.io/dockerconfigjson   1      <age>
""",
    )
    encoded = kubectl("get", "secret", "plain", "-o", "jsonpath={.data.password}")
    assert base64.b64decode(encoded) == b"hidden"


def test_access(kubectl: Kubectl) -> None:
    name = kubectl.namespace
    check(
        kubectl,
        f"""
$ create serviceaccount robot
serviceaccount/robot created
$ get serviceaccounts
NAME      SECRETS   AGE
default   0         <age>
robot     0         <age>
$ create role reader --verb=get,list --resource=pods,pods/log
role.rbac.authorization.k8s.io/reader created
$ create rolebinding readers --role=reader --user=jane --serviceaccount={name}:robot
rolebinding.rbac.authorization.k8s.io/readers created
$ get rolebindings -o wide
NAME      ROLE          AGE     USERS   GROUPS   SERVICEACCOUNTS
readers   Role/reader   <age>   jane    {name}/robot
$ create clusterrole {name} --verb=get --resource=nodes --dry-run=server
clusterrole.rbac.authorization.k8s.io/{name} created (server dry run)
$ create clusterrole {name} --verb=get --non-resource-url=/healthz
clusterrole.rbac.authorization.k8s.io/{name} created
$ create clusterrolebinding {name} --clusterrole={name} --group=admins
clusterrolebinding.rbac.authorization.k8s.io/{name} created
$ get clusterrolebinding {name} -o wide
NAME     ROLE                 AGE     USERS   GROUPS   SERVICEACCOUNTS
{name}   ClusterRole/{name}   <age>           admins
$ delete clusterrole,clusterrolebinding {name}
clusterrole.rbac.authorization.k8s.io "{name}" deleted
clusterrolebinding.rbac.authorization.k8s.io "{name}" deleted
Warning: deleting cluster-scoped resources, not scoped to the provided namespace
$ create role nothing --verb=get --resource=unicorns
the server doesn't have a resource type "unicorns"
""",
    )
    token = kubectl("create", "token", "robot", "--duration=10m")
    assert token.count(".") == 2


def test_workloads(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ create cronjob later --image=busybox --schedule=@yearly -- true
cronjob.batch/later created
$ get cronjobs
NAME    SCHEDULE   TIMEZONE   SUSPEND   ACTIVE   LAST SCHEDULE   AGE
later   @yearly    <none>     False     0        <none>          <age>
$ create job now --from=cronjob/later
job.batch/now created
$ create job once --image=busybox -- true
job.batch/once created
$? get jobs
NAME   STATUS     COMPLETIONS   DURATION   AGE
now    Complete   1/1           <age>      <age>
once   Complete   1/1           <age>      <age>
$ create deployment web --image=busybox --replicas=2 -- sleep 1000
deployment.apps/web created
$? get deployment web -o wide
NAME   READY   UP-TO-DATE   AVAILABLE   AGE     CONTAINERS   IMAGES    SELECTOR
web    2/2     2            2           <age>   busybox      busybox   app=web
$? get replicasets
NAME         DESIRED   CURRENT   READY   AGE
web-<hash>   2         2         2       <age>
$ create poddisruptionbudget keep --selector=app=web --min-available=1
poddisruptionbudget.policy/keep created
$? get pdb
NAME   MIN AVAILABLE   MAX UNAVAILABLE   ALLOWED DISRUPTIONS   AGE
keep   1               N/A               1                     <age>
$ create quota small --hard=pods=10,services=5
resourcequota/small created
$? get quota
NAME    {AGE REQUEST LIMIT|REQUEST LIMIT AGE}
small   <*>pods: <number>/10, services: 0/5<*>
""",
    )
    job = kubectl.json("get", "job", "once")
    uid = job["metadata"]["uid"]
    assert job["spec"]["selector"]["matchLabels"] == {"batch.kubernetes.io/controller-uid": uid}


def test_services(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ create service clusterip inside --tcp=80:8080
service/inside created
$ create service nodeport outside --tcp=80
service/outside created
$ create service loadbalancer shared --tcp=443:8443
service/shared created
$ create service externalname elsewhere --external-name=example.com
service/elsewhere created
$ create service clusterip headless --clusterip=None
service/headless created
$ get services
NAME        TYPE           CLUSTER-IP   EXTERNAL-IP   PORT(S)           AGE
elsewhere   ExternalName   <none>       example.com   <none>            <age>
headless    ClusterIP      None         <none>        <none>            <age>
inside      ClusterIP      <ip>         <none>        80/TCP            <age>
outside     NodePort       <ip>         <none>        80:<number>/TCP   <age>
shared      LoadBalancer   <ip>         <pending>     443:<number>/TCP  <age>
$ create ingress door --class=none --rule=example.com/*=inside:80,tls=pair
ingress.networking.k8s.io/door created
$ get ingress
NAME   CLASS   HOSTS         ADDRESS   PORTS     AGE
door   none    example.com             80, 443   <age>
""",
    )


def test_cluster_wide(kubectl: Kubectl, tmp_path: Path) -> None:
    name = kubectl.namespace
    check(
        kubectl,
        f"""
$ create namespace {name}-more
namespace/{name}-more created
$ get namespace {name}-more
NAME          STATUS   AGE
{name}-more   Active   <age>
$ create namespace Wrong_Name
The Namespace "Wrong_Name" is invalid: metadata.name: Invalid value: "Wrong_Name": a lowercase RFC 1123 label <*>
$ create priorityclass {name} --value=1000 --description=mine
priorityclass.scheduling.k8s.io/{name} created
$ get priorityclass {name}
NAME     VALUE   GLOBAL-DEFAULT   AGE     PREEMPTIONPOLICY
{name}   1000    false            <age>   PreemptLowerPriority
$ delete namespace {name}-more --wait=false
namespace "{name}-more" deleted
Warning: deleting cluster-scoped resources, not scoped to the provided namespace
$ delete priorityclass {name}
priorityclass.scheduling.k8s.io "{name}" deleted
Warning: deleting cluster-scoped resources, not scoped to the provided namespace
""",
    )
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: drawn-}\n")
    check(kubectl, f"$ create -f {manifest}\nconfigmap/drawn-<hash> created")
