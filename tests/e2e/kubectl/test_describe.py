"""`kubectl describe`, of pods, deployments, services, jobs and nodes."""

from __future__ import annotations

import pytest

from tests.e2e.kubectl.transcript import check
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}, annotations: {note: hello}}
spec:
  volumes: [{name: cache, emptyDir: {sizeLimit: 1Mi}}, {name: settings, configMap: {name: settings}}]
  containers:
  - name: main
    image: busybox
    command: [sleep, "1000"]
    ports: [{containerPort: 80, name: http}]
    env: [{name: COLOR, value: green}]
    resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}
    readinessProbe: {exec: {command: ["true"]}}
    volumeMounts: [{name: cache, mountPath: /cache}, {name: settings, mountPath: /settings, readOnly: true}]
"""


def test_pod(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=a=b")
    kubectl("apply", "-f", "-", input=POD)
    kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=30s")
    check(
        kubectl,
        """
$? describe pod web
Name:             web
Namespace:        {namespace}
Priority:         0
Service Account:  default
Node:             node-<number>/<ip>
Start Time:       <date>
Labels:           app=web
Annotations:      note: hello
Status:           Running
IP:               <ip>
IPs:
  IP:  <ip>
Containers:
  main:
    Container ID:  process://<hash>
    Image:         busybox
    Image ID:      docker.io/library/busybox:latest
    Port:          80/TCP{ (http)|}
    Host Port:     0/TCP{ (http)|}
    Command:
      sleep
      1000
    State:          Running
      Started:      <date>
    Ready:          True
    Restart Count:  0
    Limits:
      memory:  64Mi
    Requests:
      cpu:      10m
      memory:   64Mi
    Readiness:  exec [true] delay=0s timeout=1s period=10s #success=1 #failure=3
    Environment:
      COLOR:  green
    Mounts:
      /cache from cache (rw)
      /settings from settings (ro)
      /var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-<hash> (ro)
Conditions:
  Type                        Status
  PodReadyToStartContainers   True
  Initialized                 True
  Ready                       True
  ContainersReady             True
  PodScheduled                True
Volumes:
  cache:
    Type:       EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:
    SizeLimit:  1Mi
  settings:
    Type:      ConfigMap (a volume populated by a ConfigMap)
    Name:      settings
    Optional:  false
  kube-api-access-<hash>:
    Type:                    Projected (a volume that contains injected data from multiple sources)
    TokenExpirationSeconds:  3607
    ConfigMapName:           kube-root-ca.crt
    {ConfigMapOptional: <nil>|Optional: false}
    DownwardAPI:             true
QoS Class:                   Burstable
Node-Selectors:              <none>
Tolerations:                 node.kubernetes.io/not-ready:NoExecute op=Exists for 300s
                             node.kubernetes.io/unreachable:NoExecute op=Exists for 300s
Events:
  Type    Reason     Age     From               Message
  ----    ------     ----    ----               -------
  Normal  Scheduled  <age>   default-scheduler  Successfully assigned {namespace}/web to node-<number>
  Normal  Pulled     <age>   kubelet            Container image "busybox" already present on machine<*>
  Normal  Created    <age>   kubelet            <*>
  Normal  Started    <age>   kubelet            <*>
$ describe pod nobody
Error from server (NotFound): pods "nobody" not found
""",
    )


def test_deployment_and_service(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=busybox", "--replicas=2", "--", "sleep", "1000")
    kubectl("expose", "deployment", "web", "--port=80", "--name=front")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    check(
        kubectl,
        """
$? describe deployment web
Name:                   web
Namespace:              {namespace}
CreationTimestamp:      <date>
Labels:                 app=web
Annotations:            deployment.kubernetes.io/revision: 1
Selector:               app=web
Replicas:               2 desired | 2 updated | 2 total | 2 available | 0 unavailable
StrategyType:           RollingUpdate
MinReadySeconds:        0
RollingUpdateStrategy:  25% max unavailable, 25% max surge
Pod Template:
  Labels:  app=web
  Containers:
   busybox:
    Image:      busybox
    Port:       <none>
    Host Port:  <none>
    Command:
      sleep
      1000
    Environment:   <none>
    Mounts:        <none>
  Volumes:         <none>
  ? Node-Selectors:  <none>
  ? Tolerations:     <none>
Conditions:
  Type           Status  Reason
  ----           ------  ------
  Available      True    MinimumReplicasAvailable
  Progressing    True    NewReplicaSetAvailable
OldReplicaSets:  <none>
NewReplicaSet:   web-<hash> (2/2 replicas created)
Events:
  Type    Reason             Age     From                   Message
  ----    ------             ----    ----                   -------
  Normal  ScalingReplicaSet  <age>   deployment-controller  Scaled up replica set web-<hash>{ from 0| } to 2
$? describe service front
Name:                     front
Namespace:                {namespace}
Labels:                   app=web
Annotations:              <none>
Selector:                 app=web
Type:                     ClusterIP
IP Family Policy:         SingleStack
IP Families:              IPv4
IP:                       <ip>
IPs:                      <ip>
Port:                     <unset>  80/TCP
TargetPort:               80/TCP
Endpoints:                <ip>:80,<ip>:80
Session Affinity:         None
? Internal Traffic Policy:  Cluster
Events:                   <none>
? Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice
$ describe replicaset -l app=web
Name:           web-<hash>
Namespace:      {namespace}
Selector:       app=web,pod-template-hash=<hash>
Labels:         app=web
                pod-template-hash=<hash>
Annotations:    deployment.kubernetes.io/desired-replicas: 2
                deployment.kubernetes.io/max-replicas: 3
                deployment.kubernetes.io/revision: 1
Controlled By:  Deployment/web
Replicas:       2 current / 2 desired
Pods Status:    2 Running / 0 Waiting / 0 Succeeded / 0 Failed
...
  Normal  SuccessfulCreate  <age>   replicaset-controller  Created pod: web-<hash>-<hash>
  Normal  SuccessfulCreate  <age>   replicaset-controller  Created pod: web-<hash>-<hash>
""",
    )


def test_jobs(kubectl: Kubectl) -> None:
    kubectl("create", "job", "once", "--image=busybox", "--", "true")
    kubectl("create", "cronjob", "later", "--image=busybox", "--schedule=@yearly", "--", "true")
    kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=30s")
    uid = kubectl("get", "job", "once", "-o", "jsonpath={.metadata.uid}")
    check(
        kubectl,
        f"""
$? describe job once
Name:             once
Namespace:        {{namespace}}
Selector:         batch.kubernetes.io/controller-uid={uid}
Labels:           batch.kubernetes.io/controller-uid={uid}
                  batch.kubernetes.io/job-name=once
                  controller-uid={uid}
                  job-name=once
Annotations:      <none>
Parallelism:      1
Completions:      1
Completion Mode:  NonIndexed
? Suspend:          false
? Backoff Limit:    6
Start Time:       <date>
Completed At:     <date>
Duration:         <age>
Pods Statuses:    0 Active (0 Ready) / 1 Succeeded / 0 Failed
...
  Normal  SuccessfulCreate  <age>   job-controller  Created pod: once-<hash>
  Normal  Completed         <age>   job-controller  Job completed
$ describe cronjob later
Name:                          later
Namespace:                     {{namespace}}
Labels:                        <none>
Annotations:                   <none>
Schedule:                      @yearly
Concurrency Policy:            Allow
Suspend:                       False
Successful Job History Limit:  3
Failed Job History Limit:      1
Starting Deadline Seconds:     <unset>
Selector:                      <unset>
Parallelism:                   <unset>
Completions:                   <unset>
...
Last Schedule Time:  <unset>
Active Jobs:         <none>
Events:              <none>
""",
    )


def test_node(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ describe node node-1
Name:               node-1
Roles:              <none>
Labels:             beta.kubernetes.io/arch=<hash>
                    beta.kubernetes.io/os=linux
                    kubernetes.io/arch=<hash>
                    kubernetes.io/hostname=node-1
                    kubernetes.io/os=linux
Annotations:        <*>
                    node.alpha.kubernetes.io/ttl: 0
                    volumes.kubernetes.io/controller-managed-attach-detach: true
CreationTimestamp:  <date>
Taints:             <none>
Unschedulable:      false
Lease:
  HolderIdentity:  node-1
  AcquireTime:     <unset>
  RenewTime:       <date>
Conditions:
  Type             Status  LastHeartbeatTime   LastTransitionTime   Reason                       Message
  ----             ------  -----------------   ------------------   ------                       -------
  MemoryPressure   False   <date>   <date>   KubeletHasSufficientMemory   kubelet has sufficient memory available
  DiskPressure     False   <date>   <date>   KubeletHasNoDiskPressure     kubelet has no disk pressure
  PIDPressure      False   <date>   <date>   KubeletHasSufficientPID      kubelet has sufficient PID available
  Ready            True    <date>   <date>   KubeletReady                 kubelet is posting ready status
Addresses:
  InternalIP:  <ip>
  ExternalIP:  127.0.0.1
  Hostname:    node-1
Capacity:
  cpu:                <number>
  ephemeral-storage:  <number>Ki
  hugepages-1Gi:      0
  hugepages-2Mi:      0
  memory:             <number>Ki
  pods:               110
...
Non-terminated Pods:          (<number> in total)
  Namespace                   Name                   CPU Requests  CPU Limits  Memory Requests  Memory Limits  Age
  ---------                   ----                   ------------  ----------  ---------------  -------------  ---
...
Allocated resources:
  (Total limits may be over 100 percent, i.e., overcommitted.)
  Resource           Requests<*>
  --------           --------<*>
  cpu                <*>
  memory             <*>
  ephemeral-storage  <*>
  hugepages-1Gi      0 (0%)    0 (0%)
  hugepages-2Mi      0 (0%)    0 (0%)
...
""",
    )
