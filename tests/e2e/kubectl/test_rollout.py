"""rollout (status, history, undo, pause, resume, restart), scale, autoscale."""

from __future__ import annotations

import pytest

from tests.e2e.kubectl.transcript import check
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


def test_rollout(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ create deployment web --image=busybox --replicas=2 -- sleep 1000
deployment.apps/web created
$ rollout status deployment/web
...
deployment "web" successfully rolled out
$ annotate deployment web kubernetes.io/change-cause=first
deployment.apps/web {annotated|annotate}
$ set image deployment/web busybox=busybox:2
deployment.apps/web image updated
$ rollout status deployment/web
...
deployment "web" successfully rolled out
$ annotate deployment web kubernetes.io/change-cause=second --overwrite
deployment.apps/web {annotated|annotate}
$? rollout history deployment/web
deployment.apps/web
REVISION   CHANGE-CAUSE
1          first
2          second
$ rollout history deployment/web --revision=2
deployment.apps/web with revision #2
Pod Template:
  Labels:	app=web
	pod-template-hash=<hash>
  Annotations:	kubernetes.io/change-cause: second
  Containers:
   busybox:
    Image:	busybox:2
    Port:	<none>
    Host Port:	<none>
    Command:
      sleep
      1000
    Environment:	<none>
    Mounts:	<none>
  Volumes:	<none>
  ? Node-Selectors: <none>
  ? Tolerations: <none>
$ rollout undo deployment/web
deployment.apps/web rolled back
$ rollout undo deployment/web --to-revision=99
error: unable to find specified revision 99 in history
$ rollout status deployment/web
...
deployment "web" successfully rolled out
$ rollout pause deployment/web
deployment.apps/web paused
$ rollout pause deployment/web
error: deployments.apps "web" is already paused
$ set env deployment/web A=b
deployment.apps/web env updated
$? rollout status deployment/web --timeout=1s
Waiting for deployment "web" rollout to finish: 0 out of 2 new replicas have been updated...
error: timed out waiting for the condition
$ rollout undo deployment/web
error: you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again
$ rollout resume deployment/web
deployment.apps/web resumed
$ rollout resume deployment/web
error: deployments.apps "web" is not paused
$ rollout restart deployment/web
deployment.apps/web restarted
$ rollout status deployment/web
...
deployment "web" successfully rolled out
""",
    )


SETS = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: busybox, command: [sleep, "1000"]}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: c, image: busybox, command: [sleep, "1000"]}]}
"""


def test_rollout_of_sets(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ apply -f - < SETS
statefulset.apps/db created
daemonset.apps/agent created
$ rollout status statefulset/db
...
partitioned roll out complete: 1 new pods have been updated...
$ rollout status daemonset/agent
...
daemon set "agent" successfully rolled out
$ get statefulset,daemonset
NAME                  READY   AGE
statefulset.apps/db   1/1     <age>
NAME                   DESIRED   CURRENT   READY   UP-TO-DATE   AVAILABLE   NODE SELECTOR   AGE
daemonset.apps/agent   3         3         3       3            3           <none>          <age>
$ rollout restart statefulset/db daemonset/agent
statefulset.apps/db restarted
daemonset.apps/agent restarted
$? rollout history daemonset/agent
daemonset.apps/agent
REVISION   CHANGE-CAUSE
1          <none>
2          <none>
""",
        {"SETS": SETS},
    )


def test_scale_and_autoscale(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ create deployment web --image=busybox -- sleep 1000
deployment.apps/web created
$ scale deployment web --replicas=3
deployment.apps/web scaled
$ scale deployment web --replicas=2 --current-replicas=9
error: Expected replicas to be 9, was 3
$ scale deployment web --replicas=2 --current-replicas=3
deployment.apps/web scaled
$ scale deployment web --replicas=-1
error: The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0
$ scale deployment none --replicas=1
error: no objects passed to scale{ deployments.apps "none" not found|}
$ autoscale deployment web --min=2 --max=5 --cpu-percent=80
horizontalpodautoscaler.autoscaling/web autoscaled
$ get hpa
NAME   REFERENCE        TARGETS                MINPODS   MAXPODS   REPLICAS   AGE
web    Deployment/web   cpu: <unknown>/80%     2         5         <number>   <age>
$ autoscale deployment web --max=5
Error from server (AlreadyExists): horizontalpodautoscalers.autoscaling "web" already exists
""",
    )
