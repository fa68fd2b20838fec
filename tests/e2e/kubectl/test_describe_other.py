"""`kubectl describe`, of configuration, access, storage, policies and sets."""

from __future__ import annotations

import pytest

from tests.e2e.kubectl.transcript import check
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


def test_configuration_and_access(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=color=green")
    kubectl("create", "secret", "generic", "password", "--from-literal=word=hidden")
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "readers", "--role=reader", "--user=jane")
    kubectl("create", "quota", "small", "--hard=pods=10")
    check(
        kubectl,
        """
$ describe configmap settings
Name:         settings
Namespace:    {namespace}
Labels:       <none>
Annotations:  <none>
Data
====
color:
----
green
BinaryData
====
Events:  <none>
$ describe secret password
Name:         password
Namespace:    {namespace}
Labels:       <none>
Annotations:  <none>
Type:  Opaque
Data
====
word:  6 bytes
$ describe serviceaccount robot
Name:                robot
Namespace:           {namespace}
Labels:              <none>
Annotations:         <none>
Image pull secrets:  <none>
Mountable secrets:   <none>
Tokens:              <none>
Events:              <none>
$ describe role reader
Name:         reader
Labels:       <none>
Annotations:  <none>
PolicyRule:
  Resources  Non-Resource URLs  Resource Names  Verbs
  ---------  -----------------  --------------  -----
  pods       []                 []              [get]
$ describe rolebinding readers
Name:         readers
Labels:       <none>
Annotations:  <none>
Role:
  Kind:  Role
  Name:  reader
Subjects:
  Kind  Name  Namespace
  ----  ----  ---------
  User  jane
$? describe quota small
Name:       small
Namespace:  {namespace}
Resource    Used  Hard
--------    ----  ----
pods        0     10
$? describe namespace {namespace}
Name:         {namespace}
Labels:       kubernetes.io/metadata.name={namespace}
Annotations:  <none>
Status:       Active
Resource Quotas
  Name:     small
  Resource  Used  Hard
  --------  ---   ---
  pods      0     10
No LimitRange resource.
""",
    )


MORE = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 0
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: busybox}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {nodeSelector: {none: "here"}, containers: [{name: c, image: busybox}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: v1
kind: LimitRange
metadata: {name: bounds}
spec: {limits: [{type: Container, default: {cpu: 100m}}]}
"""


def test_more_kinds(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", input=MORE)
    kubectl("create", "poddisruptionbudget", "keep", "--selector=app=web", "--max-unavailable=1")
    kubectl("create", "ingress", "door", "--rule=example.com/a=web:80")
    check(
        kubectl,
        """
$? describe pvc data
Name:          data
Namespace:     {namespace}
StorageClass:  standard
Status:        Pending
Volume:
Labels:        <none>
Annotations:   <none>
Finalizers:    [kubernetes.io/pvc-protection]
Capacity:
Access Modes:
VolumeMode:    Filesystem
Used By:       <none>
Events:
  Type    Reason                Age   From                         Message
  ----    ------                ----  ----                         -------
  Normal  WaitForFirstConsumer  <*>   persistentvolume-controller  waiting for first consumer to be created before binding
$ describe statefulset db
Name:               db
Namespace:          {namespace}
CreationTimestamp:  <date>
Selector:           app=db
Labels:             <none>
Annotations:        <none>
Replicas:           0 desired | 0 total
Update Strategy:    RollingUpdate
  Partition:        0
Pods Status:        0 Running / 0 Waiting / 0 Succeeded / 0 Failed
...
Volume Claims:   <none>
Events:          <none>
$? describe daemonset agent
Name:           agent
? Namespace:      {namespace}
Selector:       app=agent
Node-Selector:  none=here
Labels:         <none>
Annotations:    deprecated.daemonset.template.generation: 1
Desired Number of Nodes Scheduled: 0
Current Number of Nodes Scheduled: 0
Number of Nodes Scheduled with Up-to-date Pods: 0
Number of Nodes Scheduled with Available Pods: 0
Number of Nodes Misscheduled: 0
Pods Status:  0 Running / 0 Waiting / 0 Succeeded / 0 Failed
...
$ describe networkpolicy closed
Name:         closed
Namespace:    {namespace}
Created on:   <*>
Labels:       <none>
Annotations:  <none>
Spec:
  PodSelector:     <none> (Allowing the specific traffic to all pods in this namespace)
  Allowing ingress traffic:
    <none> (Selected pods are isolated for ingress connectivity)
  Not affecting egress traffic
  Policy Types: Ingress
$ describe limitrange bounds
Name:       bounds
Namespace:  {namespace}
Type        Resource  Min  Max  Default Request  Default Limit  Max Limit/Request Ratio
----        --------  ---  ---  ---------------  -------------  -----------------------
Container   cpu       -    -    100m             100m           -
$? describe pdb keep
Name:             keep
Namespace:        {namespace}
Max unavailable:  1
Selector:         app=web
Status:
    Allowed disruptions:  0
    Current:              0
    Desired:              0
    Total:                0
...
$ describe ingress door
Name:             door
Labels:           <none>
Namespace:        {namespace}
Address:
Ingress Class:    <none>
Default backend:  <default>
Rules:
  Host         Path  Backends
  ----         ----  --------
  example.com
               /a   web:80 (<error: <*>not found<*>>)
Annotations:   <none>
Events:        <none>
? Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice
$ describe storageclass standard
Name:<*>standard
IsDefaultClass:        Yes
...
$ describe priorityclass system-node-critical
Name:              system-node-critical
Value:             2000001000
GlobalDefault:     false
PreemptionPolicy:  PreemptLowerPriority
Description:       Used for system critical pods that must not be moved from their current node.
Annotations:       <none>
Events:            <none>
""",
    )
