"""What makes pods: deployments, sets, jobs, and the autoscaler."""

from __future__ import annotations

from control_plane.api.defaults.pod import pod_template
from control_plane.api.defaults.registry import Object, defaults, each, fill, struct

_UNLIMITED_BACKOFF = 2**31 - 1
_CPU_TARGET = {"type": "Utilization", "averageUtilization": 80}
_SCALE_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_SCALE_DOWN = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


@defaults("v1", "ReplicationController")
def replication_controller(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"replicas": 1})
    template = spec.get("template")
    if template is None:
        return
    labels = (template.get("metadata") or {}).get("labels")
    if labels:
        fill(spec, {"selector": labels})
        fill(struct(obj, "metadata"), {"labels": labels})
    pod_template(template)


@defaults("apps/v1", "ReplicaSet")
def replica_set(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"replicas": 1})
    pod_template(struct(spec, "template"))


@defaults("apps/v1", "Deployment")
def deployment(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = struct(spec, "strategy")
    fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        fill(struct(strategy, "rollingUpdate"), {"maxUnavailable": "25%", "maxSurge": "25%"})
    pod_template(struct(spec, "template"))


@defaults("apps/v1", "DaemonSet")
def daemon_set(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"revisionHistoryLimit": 10})
    strategy = struct(spec, "updateStrategy")
    fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        fill(struct(strategy, "rollingUpdate"), {"maxUnavailable": 1, "maxSurge": 0})
    pod_template(struct(spec, "template"))


@defaults("apps/v1", "StatefulSet")
def stateful_set(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady"})
    strategy = struct(spec, "updateStrategy")
    fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        fill(struct(strategy, "rollingUpdate"), {"partition": 0})
    retention = struct(spec, "persistentVolumeClaimRetentionPolicy")
    fill(retention, {"whenDeleted": "Retain", "whenScaled": "Retain"})
    for claim in each(spec, "volumeClaimTemplates"):
        fill(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim"})
        fill(struct(claim, "spec"), {"volumeMode": "Filesystem"})
        fill(struct(claim, "status"), {"phase": "Pending"})
    pod_template(struct(spec, "template"))


@defaults("batch/v1", "Job")
def job(obj: Object) -> None:
    spec = struct(obj, "spec")
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    backoff = _UNLIMITED_BACKOFF if "backoffLimitPerIndex" in spec else 6
    replacement = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    fill(
        spec,
        {
            "parallelism": 1,
            "backoffLimit": backoff,
            "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": replacement,
        },
    )
    for rule in each(spec.get("podFailurePolicy") or {}, "rules"):
        for pattern in each(rule, "onPodConditions"):
            fill(pattern, {"status": "True"})
    template = struct(spec, "template")
    labels = (template.get("metadata") or {}).get("labels")
    metadata = struct(obj, "metadata")
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)
    pod_template(template)


@defaults("batch/v1", "CronJob")
def cron_job(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(
        spec,
        {
            "concurrencyPolicy": "Allow",
            "suspend": False,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
        },
    )
    pod_template(struct(struct(struct(spec, "jobTemplate"), "spec"), "template"))


@defaults("autoscaling/v1", "HorizontalPodAutoscaler")
def autoscaler_v1(obj: Object) -> None:
    fill(struct(obj, "spec"), {"minReplicas": 1})


@defaults("autoscaling/v2", "HorizontalPodAutoscaler")
def autoscaler(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"minReplicas": 1})
    if not spec.get("metrics"):
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": dict(_CPU_TARGET)}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        fill(struct(behavior, "scaleUp"), _SCALE_UP)
        fill(struct(behavior, "scaleDown"), _SCALE_DOWN)
