"""expose, run, set, explain, get, edit, delete."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.kubectl.transcript import check
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster

SLEEPS = "--image=busybox --command -- sleep 1000"


def test_run_get_and_delete(kubectl: Kubectl) -> None:
    check(
        kubectl,
        f"""
$ run one --labels=app=one,tier=back --port=80 {SLEEPS}
pod/one created
$? get pods
NAME   READY   STATUS    RESTARTS   AGE
one    1/1     Running   0          <age>
$ get pods -o wide
NAME   READY   STATUS    RESTARTS   AGE     IP     NODE            NOMINATED NODE   READINESS GATES
one    1/1     Running   0          <age>   <ip>   node-<number>   <none>           <none>
$ get pods --show-labels
NAME   READY   STATUS    RESTARTS   AGE     LABELS
one    1/1     Running   0          <age>   app=one,tier=back
$ get pods -L tier
NAME   READY   STATUS    RESTARTS   AGE     TIER
one    1/1     Running   0          <age>   back
$ get pod/one -o name
pod/one
$ get pods -o custom-columns=WHO:.metadata.name,WHAT:.spec.containers[0].image
WHO   WHAT
one   busybox
$ get pods -l app=two
No resources found in {{namespace}} namespace.
$ get pods --field-selector=status.phase=Running --no-headers
one   1/1   Running   0   <age>
$ get pod two
Error from server (NotFound): pods "two" not found
$ get unicorns
error: the server doesn't have a resource type "unicorns"
$ run one {SLEEPS}
Error from server (AlreadyExists): pods "one" already exists
$ run Bad {SLEEPS}
The Pod "Bad" is invalid:
* metadata.name: Invalid value: "Bad": a lowercase RFC 1123 subdomain <*>
* spec.containers[0].name: Invalid value: "Bad": a lowercase RFC 1123 label <*>
$ delete pod one --grace-period=1
pod "one" deleted
$ delete pod one
Error from server (NotFound): pods "one" not found
$ delete pods --all
No resources found
$ get all
No resources found in {{namespace}} namespace.
""",
    )


def test_expose_and_set(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ create deployment web --image=busybox --replicas=1 -- sleep 1000
deployment.apps/web created
$ expose deployment web --port=80 --target-port=8080 --name=front
service/front exposed
$ get service front -o wide
NAME    TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE     SELECTOR
front   ClusterIP   <ip>         <none>        80/TCP    <age>   app=web
$ set image deployment/web busybox=busybox:2
deployment.apps/web image updated
$ set env deployment/web COLOR=green
deployment.apps/web env updated
$ set env deployment/web --list
# Deployment web, container busybox
COLOR=green
$ set resources deployment web --limits=cpu=200m,memory=64Mi
deployment.apps/web resource requirements updated
$ set serviceaccount deployment web default
deployment.apps/web serviceaccount updated
$ set selector service front app=other
service/front selector updated
$ create role r --verb=get --resource=pods
role.rbac.authorization.k8s.io/r created
$ create rolebinding b --role=r --user=a
rolebinding.rbac.authorization.k8s.io/b created
$ set subject rolebinding b --user=c
rolebinding.rbac.authorization.k8s.io/b subjects updated
$ get deployment web -o jsonpath={.spec.template.spec.containers[0].resources.limits}
{"cpu":"200m","memory":"64Mi"}
""",
    )


def test_explain(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ explain pod.spec.nodeName
KIND:       Pod
VERSION:    v1
FIELD: nodeName <string>
DESCRIPTION:
...
$ explain deployment.spec.replicas
GROUP:      apps
KIND:       Deployment
VERSION:    v1
FIELD: replicas <integer>
DESCRIPTION:
    Number of desired pods. This is a pointer to distinguish between explicit
...
$ explain pod.spec.unicorns
KIND:       Pod
VERSION:    v1
error: field "unicorns" does not exist
""",
    )
    assert "containers\t<[]Container> -required-" in kubectl("explain", "pod.spec")


def test_edit(kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/green/red/ "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))
    check(
        kubectl,
        """
$ create configmap settings --from-literal=color=green
configmap/settings created
$ edit configmap settings
configmap/settings edited
$ get configmap settings -o jsonpath={.data.color}
red
$ edit configmap settings
Edit cancelled, no changes made.
""",
    )
