"""Which nodes need a daemon's pod, and which pods are too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import node_fit, pods
from control_plane.controllers.daemonset import update
from control_plane.controllers.daemonset.update import is_current, min_ready_s, surges, target_node


@dataclass(slots=True)
class Plan:
    create: list[str] = field(default_factory=list)  # nodes
    delete: list[Object] = field(default_factory=list)  # pods
    ended: list[Object] = field(default_factory=list)  # pods that go too, but not too often


def by_node(owned: Sequence[Object]) -> dict[str, list[Object]]:
    """Pods by the node they are on, or are meant for."""
    nodes: dict[str, list[Object]] = {}
    for pod in owned:
        if target := target_node(pod):
            nodes.setdefault(target, []).append(pod)
    return nodes


def plan(
    daemon_set: Object, nodes: Sequence[Object], owned: Sequence[Object], digest: str, now: float
) -> Plan:
    """What to make and remove now. `digest`: of the newest revision."""
    placed = by_node(owned)
    planned = Plan()
    for node in nodes:
        _plan_node(planned, daemon_set, node, placed.pop(meta.name_of(node), []), digest, now)
    planned.delete += [pod for left in placed.values() for pod in left if not meta.is_deleting(pod)]
    if meta.nested(daemon_set, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate":
        going = {meta.uid_of(pod) for pod in (*planned.delete, *planned.ended)}
        staying = by_node(
            [pod for pod in owned if not meta.is_deleting(pod) and meta.uid_of(pod) not in going]
        )
        fitting = [
            meta.name_of(node)
            for node in nodes
            if node_fit.should_run(daemon_set["spec"]["template"], node)[0]
        ]
        create, delete = update.plan(daemon_set, fitting, staying, digest, now)
        planned.create += create
        planned.delete += delete
    return planned


def _plan_node(
    planned: Plan, daemon_set: Object, node: Object, on_node: Sequence[Object], digest: str, now: float
) -> None:
    should_run, may_stay = node_fit.should_run(daemon_set["spec"]["template"], node)
    present = [pod for pod in on_node if not meta.is_deleting(pod)]
    if not may_stay:
        planned.delete += present
        return
    planned.ended += [pod for pod in present if pods.is_finished(pod)]
    running = [pod for pod in present if not pods.is_finished(pod)]
    if should_run and not on_node:
        planned.create.append(meta.name_of(node))
    elif surges(daemon_set):
        planned.delete += _too_many_of_two(daemon_set, running, digest, now)
    else:
        planned.delete += sorted(running, key=keep_first)[1:]


def keep_first(pod: Object) -> tuple[bool, str, str]:
    """The oldest of those that are on a node."""
    bound = bool(meta.nested(pod, "spec", "nodeName"))
    return not bound, str(meta.metadata(pod).get("creationTimestamp", "")), meta.name_of(pod)


def _too_many_of_two(daemon_set: Object, running: Sequence[Object], digest: str, now: float) -> list[Object]:
    """An old pod and a new one may be together as long as the old one works and the new one does not yet."""
    if len(running) <= 1:
        return []
    ordered = sorted(running, key=keep_first)
    new = next((pod for pod in ordered if is_current(pod, digest)), None)
    old = next((pod for pod in ordered if not is_current(pod, digest)), None)
    surplus = [pod for pod in ordered if pod is not new and pod is not old]
    if new is None or old is None:
        return surplus
    if not pods.is_ready(old) or pods.is_available(new, min_ready_s(daemon_set), now):
        surplus.append(old)
    return surplus
