"""What users do in the simulation, and what the world must look like in the end. Drawn from the seed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from control_plane.api import meta
from control_plane.client.gvr import (
    DAEMON_SETS,
    DEPLOYMENTS,
    DEVICE_CLASSES,
    GVR,
    JOBS,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    STATEFUL_SETS,
)
from tests.control_plane.fakeapi import FakeApi

Obj = dict[str, Any]
SPACE = "default"
MAX_REPLICAS = 5
DEVICES = 3  # of each node
KINDS: dict[GVR, str] = {
    DEPLOYMENTS: "Deployment",
    STATEFUL_SETS: "StatefulSet",
    DAEMON_SETS: "DaemonSet",
    JOBS: "Job",
}


def template(app: str, image: str, policy: str = "Always", command: list[str] | None = None) -> Obj:
    container: Obj = {"name": "c", "image": image, "resources": {"requests": {"cpu": "500m"}}}
    if command:
        container["command"] = command
    spec = {
        "containers": [container],
        "restartPolicy": policy,
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 2,
    }
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def _workload(which: GVR, name: str, spec: Obj) -> Obj:
    return {
        "apiVersion": which.api_version,
        "kind": KINDS[which],
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"selector": {"matchLabels": {"app": name}}, **spec},
    }


def deployment(name: str, chance: random.Random) -> Obj:
    strategy: Obj = {"type": chance.choice(("RollingUpdate", "Recreate"))}
    if strategy["type"] == "RollingUpdate":
        strategy["rollingUpdate"] = chance.choice(
            ({"maxSurge": 1, "maxUnavailable": 0}, {"maxSurge": "25%", "maxUnavailable": "25%"})
        )
    replicas = chance.randrange(MAX_REPLICAS + 1)
    spec = {
        "replicas": replicas,
        "template": template(name, "i:0"),
        "strategy": strategy,
        "revisionHistoryLimit": 3,
    }
    return _workload(DEPLOYMENTS, name, spec)


def with_devices(name: str, chance: random.Random) -> Obj:
    """A deployment whose pods have a device each: by a claim, or in place of a resource."""
    made = deployment(name, chance)
    spec = made["spec"]["template"]["spec"]
    if chance.random() < 0.5:
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]
    else:
        spec["containers"][0]["resources"]["requests"]["deviceclass.resource.kubernetes.io/gpu"] = "1"
    return made


def create_devices(api: FakeApi, nodes: Iterable[str]) -> None:
    asked = {"name": "gpu", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}
    template = {"spec": {"devices": {"requests": [asked]}}}
    meta_ = {"name": "gpu", "namespace": SPACE}
    api.create(RESOURCE_CLAIM_TEMPLATES, {"metadata": meta_, "spec": template})
    api.create(DEVICE_CLASSES, {"metadata": {"name": "gpu"}, "spec": {}})
    for node in nodes:
        devices = [{"name": f"d{number}"} for number in range(DEVICES)]
        pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": "gpu.io", "nodeName": node, "pool": pool, "devices": devices}
        api.create(RESOURCE_SLICES, {"metadata": {"name": node}, "spec": spec})


def stateful_set(name: str, chance: random.Random) -> Obj:
    spec = {
        "replicas": chance.randrange(MAX_REPLICAS + 1),
        "serviceName": name,
        "template": template(name, "i:0"),
        "podManagementPolicy": chance.choice(("OrderedReady", "Parallel")),
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 3,
    }
    return _workload(STATEFUL_SETS, name, spec)


def daemon_set(name: str, chance: random.Random) -> Obj:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    return _workload(DAEMON_SETS, name, {"template": template(name, "i:0"), "updateStrategy": strategy})


def job(name: str, chance: random.Random) -> Obj:
    spec = {
        "parallelism": chance.randrange(1, 4),
        "completions": chance.randrange(1, 6),
        "completionMode": chance.choice(("NonIndexed", "Indexed")),
        "backoffLimit": 100,
        "template": template(name, "i:0", "Never", ["sleep", str(chance.randrange(4))]),
    }
    return _workload(JOBS, name, spec)


MAKERS: tuple[tuple[GVR, Callable[[str, random.Random], Obj]], ...] = (
    (DEPLOYMENTS, deployment),
    (STATEFUL_SETS, stateful_set),
    (DAEMON_SETS, daemon_set),
    (JOBS, job),
)


def create(api: FakeApi, chance: random.Random) -> None:
    if chance.random() < 0.5:
        api.create(DEPLOYMENTS, with_devices("deployment-devices", chance))
    for which, make in MAKERS:
        for number in range(chance.randrange(3)):
            api.create(which, make(f"{KINDS[which].lower()}-{number}", chance))


def meddle(api: FakeApi, chance: random.Random) -> None:
    """One thing that a user, or bad luck, does."""
    match chance.randrange(4):
        case 0:
            _change(api, chance, lambda spec: spec.update(replicas=chance.randrange(MAX_REPLICAS + 1)))
        case 1:
            image = f"i:{chance.randrange(3)}"
            _change(
                api,
                chance,
                lambda spec: spec["template"]["spec"]["containers"][0].update(image=image),
                (DAEMON_SETS,),
            )
        case 2 if pods := api.list(PODS):
            pod = chance.choice(pods)
            if not _of_a_job(pod):
                api.delete(PODS, meta.name_of(pod), SPACE)
        case 3:
            api.compact()


def _of_a_job(pod: Obj) -> bool:
    """To remove one past its finalizer would be to cheat the count."""
    return (meta.controller_of(pod) or {}).get("kind") == "Job"


def _change(
    api: FakeApi, chance: random.Random, change: Callable[[Obj], None], also: tuple[GVR, ...] = ()
) -> None:
    which = chance.choice((DEPLOYMENTS, STATEFUL_SETS, *also))
    for each in api.list(which):
        changed = copy.deepcopy(each)
        change(changed["spec"])
        if changed["spec"] != each["spec"]:
            changed["metadata"]["generation"] = each["metadata"].get("generation", 1) + 1
        api.update(which, changed)


# ---- what must hold in the end


def unfinished(api: FakeApi) -> list[str]:
    """What is not yet as the specifications say."""
    pods = [pod for pod in api.list(PODS) if not meta.is_deleting(pod)]
    problems = [f"pod {meta.name_of(pod)} is still going" for pod in api.list(PODS) if meta.is_deleting(pod)]
    for each in api.list(DEPLOYMENTS):
        newest = [rs for rs in api.list(REPLICA_SETS) if meta.is_controlled_by(rs, each)]
        owned = [pod for rs in newest for pod in pods if meta.is_controlled_by(pod, rs)]
        problems += _replicated(each, owned)
        if (each.get("status") or {}).get("availableReplicas", 0) != each["spec"]["replicas"]:
            problems.append(f"{meta.name_of(each)}: status {each.get('status')}")
    for each in api.list(STATEFUL_SETS):
        owned = [pod for pod in pods if meta.is_controlled_by(pod, each)]
        problems += _replicated(each, owned)
        wanted = {f"{meta.name_of(each)}-{ordinal}" for ordinal in range(each["spec"]["replicas"])}
        if (names := {meta.name_of(pod) for pod in owned}) != wanted:
            problems.append(f"{meta.name_of(each)}: pods {sorted(names)}")
    for each in api.list(DAEMON_SETS):
        owned = [pod for pod in pods if meta.is_controlled_by(pod, each)]
        on = sorted(pod["spec"].get("nodeName", "") for pod in owned)
        if on != sorted(meta.name_of(node) for node in api.list(NODES)):
            problems.append(f"{meta.name_of(each)}: on {on}")
        problems += list(_unlike(each, owned))
    problems += [each for job_ in api.list(JOBS) for each in _job_unfinished(job_)]
    return problems + _claimed(api)


def _job_unfinished(obj: Obj) -> Iterator[str]:
    """When the answer to its creation was lost there may be one more pod than was wanted, which may end, and be
    counted, before anybody can take it away; where indexes are counted that makes no difference."""
    status, wanted = obj.get("status") or {}, obj["spec"]["completions"]
    succeeded = status.get("succeeded", 0)
    if obj["spec"]["completionMode"] != "Indexed":
        succeeded = min(succeeded, wanted)
    if not meta.condition_is_true(obj, "Complete") or succeeded != wanted:
        yield f"{meta.name_of(obj)}: {wanted} wanted, status {status}"


def _claimed(api: FakeApi) -> list[str]:
    """Each claim has a pod that has a device by it, and is its only user."""
    pods = {meta.uid_of(pod): pod for pod in api.list(PODS)}
    problems = []
    for each in api.list(RESOURCE_CLAIMS):
        owner = (meta.controller_of(each) or {}).get("uid", "")
        users = [user["uid"] for user in (each.get("status") or {}).get("reservedFor") or ()]
        if owner not in pods or users != [owner]:
            problems.append(f"claim {meta.name_of(each)} of {owner} is used by {users}")
    return problems


def devices(api: FakeApi) -> list[tuple[str, str]]:
    """All that are given out, by pool and name."""
    return [
        (result["pool"], result["device"])
        for each in api.list(RESOURCE_CLAIMS)
        for result in meta.nested(each, "status", "allocation", "devices", "results", default=())
    ]


def _replicated(owner: Obj, owned: list[Obj]) -> list[str]:
    problems = list(_unlike(owner, owned))
    if len(owned) != owner["spec"]["replicas"]:
        problems.append(f"{meta.name_of(owner)}: {len(owned)} pods of {owner['spec']['replicas']}")
    return problems


def _unlike(owner: Obj, owned: list[Obj]) -> Iterator[str]:
    image = owner["spec"]["template"]["spec"]["containers"][0]["image"]
    for pod in owned:
        if pod["spec"]["containers"][0]["image"] != image:
            yield f"{meta.name_of(pod)} is of an old revision"
        if not meta.condition_is_true(pod, "Ready"):
            yield f"{meta.name_of(pod)} is not ready: {(pod.get('status') or {}).get('phase')}"
