"""Why a workload has not the pods that it asks for. Pure.

deployment → its newest replica set → that one's pods; statefulset, daemonset, job → their pods; cronjob → its
latest jobs. Pods that cannot even be made are told by the owner's conditions and events: quota, admission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cluster.why import claims, pods, quotas
from cluster.why.cause import Cause, grouped
from cluster.why.world import World, age, plural
from control_plane.api import meta
from control_plane.client.types import Obj

REVISION = "deployment.kubernetes.io/revision"
MANAGER_LEASE = ("kube-controller-manager", "kube-system")
REFUSALS = ("FailedCreate", "FailedDelete")
RESOURCES = (
    "deployments",
    "replicasets",
    "replicationcontrollers",
    "statefulsets",
    "daemonsets",
    "jobs",
    "cronjobs",
)


def roots(world: World) -> Iterator[tuple[str, Obj]]:
    """The workloads that no other one owns."""
    for resource in RESOURCES:
        for each in world.all(resource):
            if meta.controller_of(each) is None:
                yield resource, each


def explain(world: World, resource: str, obj: Obj) -> Cause:
    about = f"{resource[:-1]}/{meta.name_of(obj)}"
    if meta.is_deleting(obj):
        return _deleting(world, obj, about)
    if (unseen := _unseen(world, obj, about)) is not None:
        return unseen
    return _EXPLAIN[resource](world, obj, about)


def _deleting(world: World, obj: Obj, about: str) -> Cause:
    says = f"was deleted {age(world, obj['metadata']['deletionTimestamp'])} ago and is still there"
    finalizers = meta.finalizers(obj)
    facts = tuple(f"finalizer {each}" for each in finalizers)
    because = grouped([pods.explain(world, pod) for pod in _all_pods(world, obj)])
    steps = (
        (f"find out why the owner of {finalizers[0]} does not finish",) if finalizers and not because else ()
    )
    return Cause(about, says, facts, because, steps)


def _all_pods(world: World, obj: Obj) -> list[Obj]:
    sets = world.owned(obj, "replicasets")
    return [pod for owner in (obj, *sets) for pod in world.owned(owner, "pods")]


def _unseen(world: World, obj: Obj, about: str) -> Cause | None:
    """Its controller has not seen its latest form."""
    silence_s = world.silence_s(*MANAGER_LEASE)
    observed = (obj.get("status") or {}).get("observedGeneration")
    stale = observed is not None and observed < obj["metadata"].get("generation", 0)
    if silence_s is not None:
        text = f"has not renewed its lease for {silence_s:.0f} s: none is running"
        gone = Cause("controller-manager", text)
        return Cause(about, "is looked after by nobody", because=(gone,), do=("balsa status",))
    if stale:
        return Cause(
            about, "was changed, and its controller has not seen it yet", do=("try again in a moment",)
        )
    return None


def _refusal(world: World, obj: Obj, about: str, missing: int) -> Cause | None:
    """Its pods cannot be made."""
    condition = meta.condition(obj, "ReplicaFailure") or {}
    said = str(condition.get("message", "")) if condition.get("status") == "True" else ""
    said = said or world.last_message(obj, *REFUSALS)
    if not said:
        return None
    quota = quotas.named_in(world, said)
    step = () if quota else (_refusal_step(said),)
    because = (quota,) if quota else ()
    return Cause(about, f"cannot make {plural(missing, 'pod')} that it lacks", (said,), because, step)


def _refusal_step(said: str) -> str:
    if "serviceaccount" in said and "not found" in said:
        return "create the service account that it names"
    if "PodSecurity" in said:
        return "make the pod template meet the namespace's pod-security.kubernetes.io level"
    return "correct what the message names"


def _pods_of(world: World, owner: Obj, about: str, wanted: int, ready: int) -> Cause:
    """Of those that own pods directly: how many are missing, and why those that exist are not ready."""
    owned = [pod for pod in world.owned(owner, "pods") if not _ended(pod)]
    if wanted == 0 and not owned:
        return Cause(about, "asks for no pods", healthy=True)
    unwell = [pod for pod in owned if not pods.is_well(pod)]
    if ready >= wanted and not unwell:
        return Cause(about, f"has all its {plural(wanted, 'pod')} ready", healthy=True)
    says = f"has {ready} of {plural(wanted, 'pod')} ready"
    causes = [pods.explain(world, pod) for pod in unwell]
    missing = wanted - len(owned)
    refusal = _refusal(world, owner, about, missing) if missing > 0 else None
    because = grouped([*([refusal] if refusal else []), *causes])
    if because:
        return Cause(about, says, because=because)
    step = f"kubectl -n {world.namespace} describe {about}"
    return Cause(about, says, (f"{plural(max(missing, 0), 'pod')} still to be made",), do=(step,))


def _ended(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


# ---- one kind each


def _replica_set(world: World, obj: Obj, about: str) -> Cause:
    status = obj.get("status") or {}
    return _pods_of(world, obj, about, obj["spec"].get("replicas", 1), status.get("readyReplicas", 0))


def _deployment(world: World, obj: Obj, about: str) -> Cause:
    wanted, status = obj["spec"].get("replicas", 1), obj.get("status") or {}
    available, updated = status.get("availableReplicas", 0), status.get("updatedReplicas", 0)
    done = available >= wanted and updated >= wanted and status.get("replicas", 0) <= max(wanted, updated)
    if obj["spec"].get("paused"):
        step = f"kubectl -n {world.namespace} rollout resume {about}"
        return Cause(about, "is paused: changes to it do nothing", healthy=done, do=() if done else (step,))
    if done:
        text = f"has all its {plural(wanted, 'pod')} available" if wanted else "asks for no pods"
        return Cause(about, text, healthy=True)
    facts = [f"{updated} of them of the latest revision"] if updated < wanted else []
    progress = meta.condition(obj, "Progressing") or {}
    if progress.get("reason") == "ProgressDeadlineExceeded":
        facts.append(f"it has not progressed for {obj['spec'].get('progressDeadlineSeconds', 600)} s")
    newest = max(world.owned(obj, "replicasets"), key=_revision, default=None)
    says = f"has {available} of {plural(wanted, 'pod')} available"
    if newest is None:
        return Cause(about, says, (*facts, "it has no replica set yet"), do=("try again in a moment",))
    below = _replica_set(world, newest, f"replicaset/{meta.name_of(newest)}")
    if below.healthy:
        seconds = obj["spec"].get("minReadySeconds")
        facts.append(
            f"its new pods must be ready for {seconds} s (minReadySeconds)"
            if seconds
            else "it is rolling out"
        )
        return Cause(about, says, tuple(facts), do=("wait",))
    steps: tuple[str, ...] = ()
    if _revision(newest) > 1 and progress.get("reason") == "ProgressDeadlineExceeded":
        steps = (f"or go back: kubectl -n {world.namespace} rollout undo {about}",)
    return Cause(about, says, tuple(facts), (below,), steps)


def _revision(replica_set: Obj) -> int:
    return int(meta.annotations(replica_set).get(REVISION) or 0)


def _stateful_set(world: World, obj: Obj, about: str) -> Cause:
    """In order: the first that is not ready holds up all that come after it."""
    wanted, status = obj["spec"].get("replicas", 1), obj.get("status") or {}
    cause = _pods_of(world, obj, about, wanted, status.get("readyReplicas", 0))
    if cause.healthy:
        return cause
    facts = list(cause.facts)
    ordered = obj["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    unwell = sorted(
        (pod for pod in world.owned(obj, "pods") if not pods.is_well(pod)),
        key=lambda pod: _ordinal(meta.name_of(pod)),
    )
    if ordered and unwell:
        facts.append(f"pods are made in order: those after {meta.name_of(unwell[0])} wait for it")
        return Cause(about, cause.says, tuple(facts), (pods.explain(world, unwell[0]),), cause.do)
    unbound = tuple(
        claims.explain(world, claim)
        for template in obj["spec"].get("volumeClaimTemplates") or ()
        for claim in world.all("persistentvolumeclaims")
        if meta.name_of(claim).startswith(f"{meta.name_of(template)}-{meta.name_of(obj)}-")
        and (claim.get("status") or {}).get("phase") != "Bound"
    )
    return Cause(about, cause.says, tuple(facts), cause.because or unbound, cause.do)


def _ordinal(name: str) -> int:
    tail = name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


def _daemon_set(world: World, obj: Obj, about: str) -> Cause:
    status = obj.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    if wanted == 0:
        step = "check spec.template.spec.nodeSelector, its affinity and tolerations against the nodes"
        return Cause(
            about, "is wanted on no node", (f"of {plural(len(world.all('nodes')), 'node')}",), do=(step,)
        )
    return _pods_of(world, obj, about, wanted, status.get("numberReady", 0))


def _job(world: World, obj: Obj, about: str) -> Cause:
    status, spec = obj.get("status") or {}, obj["spec"]
    if meta.condition_is_true(obj, "Complete"):
        return Cause(
            about, f"is complete: {plural(status.get('succeeded', 0), 'pod')} succeeded", healthy=True
        )
    failed = meta.condition(obj, "Failed") or {}
    owned = world.owned(obj, "pods")
    if failed.get("status") == "True":
        because = grouped([pods.explain(world, pod) for pod in owned if _failed(pod)])
        steps = () if because else (f"kubectl -n {world.namespace} describe {about}",)
        said = (str(failed.get("message")),) if failed.get("message") else ()
        return Cause(about, f"has failed: {failed.get('reason')}", said, because, steps)
    if spec.get("suspend"):
        step = f"""kubectl -n {world.namespace} patch {about} -p '{{"spec":{{"suspend":false}}}}'"""
        return Cause(about, "is suspended", do=(step,))
    return _running_job(world, obj, about, owned)


def _failed(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") == "Failed"


def _running_job(world: World, obj: Obj, about: str, owned: list[Obj]) -> Cause:
    status, spec = obj.get("status") or {}, obj["spec"]
    wanted, succeeded, lost = spec.get("completions"), status.get("succeeded", 0), status.get("failed", 0)
    of = f" of {wanted}" if wanted is not None else ""
    facts = [f"{succeeded}{of} succeeded"]
    if lost:
        facts.append(f"{plural(lost, 'pod')} failed; it gives up after {spec.get('backoffLimit', 6)}")
    unwell = [pod for pod in owned if not pods.is_well(pod)]
    active = [pod for pod in owned if not _ended(pod)]
    refusal = _refusal(world, obj, about, spec.get("parallelism", 1) - len(active)) if not active else None
    because = grouped([*([refusal] if refusal else []), *(pods.explain(world, pod) for pod in unwell)])
    if not because:
        running = f"{plural(len(active), 'pod')} at work" if active else "its next pod is still to be made"
        return Cause(about, "is not complete yet", (*facts, running), do=("wait",), healthy=bool(active))
    return Cause(about, "is not complete", tuple(facts), because)


def _cron_job(world: World, obj: Obj, about: str) -> Cause:
    spec, status = obj["spec"], obj.get("status") or {}
    if spec.get("suspend"):
        step = f"""kubectl -n {world.namespace} patch {about} -p '{{"spec":{{"suspend":false}}}}'"""
        return Cause(about, "is suspended", do=(step,))
    jobs = sorted(world.owned(obj, "jobs"), key=lambda job: str(job["metadata"].get("creationTimestamp")))
    facts = [f"schedule {spec.get('schedule')}"]
    if spec.get("timeZone"):
        facts[0] += f" in {spec['timeZone']}"
    if last := status.get("lastScheduleTime"):
        facts.append(f"last run {age(world, last)} ago")
    if not jobs:
        return Cause(about, "has not run yet", tuple(facts), healthy=True)
    latest = _job(world, jobs[-1], f"job/{meta.name_of(jobs[-1])}")
    if not latest.healthy:
        blocks = spec.get("concurrencyPolicy") == "Forbid" and status.get("active")
        facts += ["no other run begins while this one is active (concurrencyPolicy Forbid)"] if blocks else []
        return Cause(about, "has a run that is not well", tuple(facts), (latest,))
    return Cause(about, "runs as it should", tuple(facts), healthy=True)


_EXPLAIN: dict[str, Callable[[World, Obj, str], Cause]] = {
    "deployments": _deployment,
    "replicasets": _replica_set,
    "replicationcontrollers": _replica_set,
    "statefulsets": _stateful_set,
    "daemonsets": _daemon_set,
    "jobs": _job,
    "cronjobs": _cron_job,
}
