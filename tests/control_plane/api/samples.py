"""Objects that several tests start from; each call gives a fresh one."""

from __future__ import annotations

from typing import Any

from control_plane.api import decode, defaults, schema
from control_plane.api.registry import Registry, Resource
from control_plane.api.resources import OFF_BY_DEFAULT
from control_plane.api.strategy import strategy_for

Object = dict[str, Any]
REGISTRY = Registry.builtin(OFF_BY_DEFAULT)


def resource(name: str) -> Resource:
    """`deployments.apps` -> the storage version of the resource."""
    found = [r for r in REGISTRY.stored() if r.group_resource == name]
    assert len(found) == 1, name
    return found[0]


def stored(name: str, obj: Object) -> tuple[Resource, Object]:
    """What is in the store after a create: decoded, defaulted, prepared."""
    kind = resource(name)
    node = schema.lookup(*kind.gvk)
    assert node is not None
    made = decode.decode(node, obj).object
    defaults.apply(*kind.gvk, made)
    metadata = made["metadata"]
    metadata.setdefault("uid", "11111111-2222-3333-4444-555555555555")
    metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
    if kind.namespaced:
        metadata.setdefault("namespace", "default")
    strategy_for(kind).prepare_for_create(made)
    made |= {"apiVersion": kind.api_version, "kind": kind.kind}
    return kind, made


def named(name: str, **more: Any) -> Object:
    return {"metadata": {"name": name, **more}}


def service(**spec: Any) -> Object:
    return named("s") | {"spec": {"ports": [{"port": 80}], **spec}}


def container(**more: Any) -> Object:
    return {"name": "c", "image": "nginx", **more}


def pod(**spec: Any) -> Object:
    return {"metadata": {"name": "p"}, "spec": {"containers": [container()], **spec}}


def workload(name: str = "web", **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container()]}}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def job(**spec: Any) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [container()]}}
    return {"metadata": {"name": "j"}, "spec": {"template": template, **spec}}


def cron(**spec: Any) -> Object:
    return named("c") | {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job()["spec"]}, **spec}}


def large_pod() -> Object:
    """A pod as a cluster holds it, about 3.7 kB of JSON."""
    env = [{"name": f"SETTING_{i}", "value": "some value that is set"} for i in range(8)]
    containers = [
        container(
            name=f"c{i}",
            env=env,
            imagePullPolicy="Always",
            ports=[{"containerPort": 80 + i, "protocol": "TCP"}],
            resources={
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": "1", "memory": "1Gi"},
            },
            volumeMounts=[{"name": "data", "mountPath": "/data", "readOnly": True}],
            livenessProbe={"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10},
        )
        for i in range(2)
    ]
    when = "2026-01-01T00:00:00Z"
    statuses = [
        {
            "name": f"c{i}",
            "ready": True,
            "restartCount": 0,
            "image": "nginx",
            "imageID": "docker.io/library/nginx@sha256:0123456789abcdef",
            "containerID": "containerd://0123456789abcdef",
            "state": {"running": {"startedAt": when}},
            "lastState": {},
        }
        for i in range(2)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-5d4f8c7b9-abcde",
            "namespace": "default",
            "uid": "11111111-2222-3333-4444-555555555555",
            "resourceVersion": "1234",
            "creationTimestamp": when,
            "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9"},
            "annotations": {"example.com/note": "n" * 80},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "web-5d4f8c7b9",
                    "uid": "66666666-7777-8888-9999-000000000000",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "nodeName": "node-1",
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30,
            "securityContext": {},
            "tolerations": [
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
                for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
            ],
            "volumes": [
                {
                    "name": "data",
                    "configMap": {"name": "cm", "defaultMode": 420, "items": [{"key": "a", "path": "b"}]},
                }
            ],
            "containers": containers,
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "hostIP": "172.30.0.11",
            "qosClass": "Burstable",
            "startTime": when,
            "conditions": [
                {"type": type_, "status": "True", "lastTransitionTime": when}
                for type_ in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": statuses,
        },
    }
