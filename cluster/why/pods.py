"""Why a pod does not run, is not ready, has failed or does not go. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.why import claims, nodes, scheduling
from cluster.why.cause import Cause
from cluster.why.world import World, age, plural
from control_plane.api import meta
from control_plane.client.types import Obj

IMAGE_REASONS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
)
CONFIG_REASONS = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreStartHookError",
)
SETUP_EVENTS = (
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedCreatePodSandBox",
    "NetworkNotReady",
)
FORCE = "--force --grace-period=0"
GRACE_SLACK_S = 10.0


def explain(world: World, pod: Obj) -> Cause:
    status = pod.get("status") or {}
    if meta.is_deleting(pod):
        return _deleting(world, pod)
    if status.get("phase") in ("Failed", "Succeeded"):
        return _ended(pod)
    if not pod["spec"].get("nodeName"):
        return scheduling.explain(world, pod)
    trouble = _of_node(world, pod) or next(_of_containers(world, pod), None)
    return trouble or _starting_or_ready(world, pod)


def is_well(pod: Obj) -> bool:
    """Nothing needs to be said about it."""
    phase = (pod.get("status") or {}).get("phase")
    if meta.is_deleting(pod):
        return False
    return phase == "Succeeded" or (phase == "Running" and meta.condition_is_true(pod, "Ready"))


def _about(pod: Obj) -> str:
    return f"pod/{meta.name_of(pod)}"


def _deleting(world: World, pod: Obj) -> Cause:
    about, metadata = _about(pod), pod["metadata"]
    name, namespace = metadata["name"], metadata.get("namespace", "default")
    says = f"was deleted {age(world, metadata['deletionTimestamp'])} ago and is still there"
    node_name = pod["spec"].get("nodeName")
    node = world.get("nodes", node_name) if node_name else None
    if node_name and node is None:
        gone = Cause(
            f"node/{node_name}", "does not exist any more: nobody can confirm that the pod has stopped"
        )
        return Cause(about, says, because=(gone,), do=(f"kubectl -n {namespace} delete pod {name} {FORCE}",))
    if node is not None and (down := nodes.trouble(world, node)) is not None:
        step = f"bring the node back, or, if it is gone for good: kubectl -n {namespace} delete pod {name} {FORCE}"
        return Cause(about, says, because=(down,), do=(step,))
    if finalizers := meta.finalizers(pod):
        facts = tuple(f"finalizer {each}" for each in finalizers)
        return Cause(about, says, facts, do=(f"find out why the owner of {finalizers[0]} does not finish",))
    deadline_s = meta.parse_time(metadata["deletionTimestamp"]) or world.now_s
    left_s = deadline_s - world.now_s
    if left_s > -GRACE_SLACK_S:
        text = f"its containers have {max(left_s, 0):.0f} s of their grace left to end by themselves"
        return Cause(about, "is being deleted", (text,), do=("wait",))
    return Cause(about, says, (f"its grace ended {-left_s:.0f} s ago",), do=(f"balsa logs {node_name}",))


def _ended(pod: Obj) -> Cause:
    status = pod["status"]
    if status["phase"] == "Succeeded":
        return Cause(_about(pod), "has ended as it should", healthy=True)
    reason, message = status.get("reason") or "", status.get("message") or ""
    facts = [each for each in (message,) if each]
    for container, state in _states(pod):
        ended = state.get("terminated") or {}
        if ended.get("exitCode"):
            facts.append(f"container {container['name']} ended with {_exit(ended)}")
    target = meta.condition(pod, "DisruptionTarget") or {}
    if target.get("message"):
        facts.append(str(target["message"]))
    says = f"has failed: {reason}" if reason else "has failed"
    return Cause(_about(pod), says, tuple(facts), do=(_ended_step(pod, reason),))


def _ended_step(pod: Obj, reason: str) -> str:
    if reason == "Evicted":
        return f"balsa why node/{pod['spec'].get('nodeName')}"
    if reason == "DeadlineExceeded":
        return "raise activeDeadlineSeconds, or find out why it takes so long"
    return f"kubectl -n {meta.namespace_of(pod)} logs {meta.name_of(pod)}"


def _exit(ended: Obj) -> str:
    reason = ended.get("reason") or ""
    told = f" ({reason})" if reason and reason != "Error" else ""
    message = f": {ended['message'].strip()}" if ended.get("message") else ""
    return f"exit code {ended.get('exitCode')}{told}{message}"


def _of_node(world: World, pod: Obj) -> Cause | None:
    name = pod["spec"]["nodeName"]
    node = world.get("nodes", name)
    if node is None:
        if not world.knows("nodes"):
            return None
        gone = Cause(f"node/{name}", "does not exist")
        return Cause(_about(pod), "is bound to a node that is gone", because=(gone,), do=("delete the pod",))
    down = nodes.trouble(world, node)
    if down is None or nodes.is_ready(node):
        return None
    return Cause(_about(pod), f"is on {name}, which is not ready", because=(down,))


# ---- containers


def _states(pod: Obj, init: bool = True) -> Iterator[tuple[Obj, Obj]]:
    status = pod.get("status") or {}
    lists = ("initContainerStatuses", "containerStatuses") if init else ("containerStatuses",)
    for key in lists:
        for container in status.get(key) or ():
            yield container, container.get("state") or {}


def _of_containers(world: World, pod: Obj) -> Iterator[Cause]:
    """What keeps a container from running, or from being ready; the first is what matters."""
    for container, state in _states(pod):
        reason = (state.get("waiting") or {}).get("reason") or ""
        message = (state.get("waiting") or {}).get("message") or ""
        if reason in IMAGE_REASONS:
            yield _image(world, pod, container, reason, message)
        elif reason in CONFIG_REASONS:
            yield _config(pod, container, reason, message)
        elif reason == "CrashLoopBackOff":
            yield _crashing(world, pod, container)
    yield from _init(pod)
    yield from _unready(world, pod)


def _image(world: World, pod: Obj, container: Obj, reason: str, message: str) -> Cause:
    said = message or world.last_message(pod, "Failed")
    says = f"cannot start: the image {container.get('image')!r} cannot be had ({reason})"
    step = "correct the image's name, or its pull secret, or make it available to the node"
    return Cause(_about(pod), says, tuple(each for each in (said,) if each), do=(step,))


def _config(pod: Obj, container: Obj, reason: str, message: str) -> Cause:
    says = f"cannot start its container {container['name']} ({reason})"
    step = "correct the container's command or configuration"
    for kind in ("configmap", "secret"):
        if message.startswith(f'{kind} "') and "not found" in message:
            step = f"create the {kind} {message.split(chr(34))[1]}, or correct the reference to it"
    return Cause(_about(pod), says, (message,) if message else (), do=(step,))


def _crashing(world: World, pod: Obj, container: Obj) -> Cause:
    name, restarts = container["name"], container.get("restartCount", 0)
    last = (container.get("lastState") or {}).get("terminated") or {}
    facts = [f"last time it ended with {_exit(last)}"] if last else []
    probe = world.last_message(pod, "Unhealthy")
    if probe and world.events(pod, "Killing"):
        facts.append(f"it was killed for a probe: {probe}")
    namespace = meta.namespace_of(pod)
    steps = [f"kubectl -n {namespace} logs {meta.name_of(pod)} -c {name} --previous"]
    if last.get("reason") == "OOMKilled":
        steps.insert(0, f"raise resources.limits.memory of the container {name}, or make it use less")
    says = f"keeps ending: its container {name} was restarted {plural(restarts, 'time')}"
    return Cause(_about(pod), says, tuple(facts), do=tuple(steps))


def _init(pod: Obj) -> Iterator[Cause]:
    for container in (pod.get("status") or {}).get("initContainerStatuses") or ():
        state = container.get("state") or {}
        step = (f"kubectl -n {meta.namespace_of(pod)} logs {meta.name_of(pod)} -c {container['name']}",)
        ended = state.get("terminated") or {}
        if "running" in state and not container.get("started"):
            yield Cause(
                _about(pod), f"waits for its init container {container['name']}, which is running", do=step
            )
        elif ended.get("exitCode"):
            says = f"waits for its init container {container['name']}, which failed with {_exit(ended)}"
            yield Cause(_about(pod), says, do=step)


def _unready(world: World, pod: Obj) -> Iterator[Cause]:
    for container, state in _states(pod, init=False):
        if "running" not in state or container.get("ready"):
            continue
        name = container["name"]
        kind = "startup" if container.get("started") is False else "readiness"
        spec: Obj = next((each for each in pod["spec"]["containers"] if each["name"] == name), {})
        if f"{kind}Probe" not in spec:
            continue
        said = world.last_message(pod, "Unhealthy")
        facts = (said,) if said else (f"the {kind} probe has not succeeded yet",)
        step = f"see why: kubectl -n {meta.namespace_of(pod)} logs {meta.name_of(pod)} -c {name}"
        yield Cause(_about(pod), f"is not ready: the {kind} probe of {name} fails", facts, do=(step,))


def _starting_or_ready(world: World, pod: Obj) -> Cause:
    about, status = _about(pod), pod.get("status") or {}
    ready = meta.condition(pod, "Ready") or {}
    if ready.get("status") == "True":
        facts = [
            f"container {each['name']} was restarted {plural(each['restartCount'], 'time')}"
            for each, _ in _states(pod)
            if each.get("restartCount")
        ]
        since = age(world, ready.get("lastTransitionTime"))
        return Cause(about, f"is running and has been ready for {since}", tuple(facts), healthy=True)
    if ready.get("reason") == "ReadinessGatesNotReady":
        step = "the controller that owns the readiness gate must set its condition"
        return Cause(
            about, "is not ready: a readiness gate is not met", (str(ready.get("message")),), do=(step,)
        )
    if status.get("phase") == "Running":
        waiting = [
            f"container {each['name']} {_doing(state)}"
            for each, state in _states(pod)
            if not each.get("ready")
        ]
        return Cause(about, "is running and not ready", tuple(waiting), do=("try again in a moment",))
    return _setting_up(world, pod)


def _doing(state: Obj) -> str:
    if ended := state.get("terminated"):
        return f"ended with {_exit(ended)}"
    return "runs and is not ready" if "running" in state else "is being started"


def _setting_up(world: World, pod: Obj) -> Cause:
    about, node = _about(pod), pod["spec"]["nodeName"]
    because = tuple(
        claims.explain(world, claim)
        for volume in pod["spec"].get("volumes") or ()
        if (name := (volume.get("persistentVolumeClaim") or {}).get("claimName"))
        and (claim := world.get("persistentvolumeclaims", name)) is not None
        and (claim.get("status") or {}).get("phase") != "Bound"
    )
    if because:
        return Cause(about, "waits for its volumes", because=because)
    if said := world.last_message(pod, *SETUP_EVENTS):
        step = "create what the message names, or correct the pod's volumes"
        return Cause(about, f"cannot be set up on {node}", (said,), do=(step,))
    if not (pod.get("status") or {}).get("startTime"):
        return Cause(
            about, f"is bound to {node}, whose agent has not taken it yet", do=(f"balsa why node/{node}",)
        )
    return Cause(about, f"is being started on {node}", do=("try again in a moment",))
