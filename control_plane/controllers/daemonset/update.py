"""Which pods of an old revision are replaced: at most maxUnavailable nodes at a time are without a pod that is
available; with maxSurge the new pod comes before the old one goes. What does not work is replaced at once, which
costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods, revisions
from control_plane.controllers.deployment.rolling import resolve

HASH_LABEL = revisions.HASH_LABEL

_Judge = Callable[[Object], bool]
Pair = tuple[Object | None, Object | None]  # of an old revision, of the newest


def target_node(pod: Object) -> str:
    """The node of a pod that is not scheduled yet is in its affinity."""
    bound: str = meta.nested(pod, "spec", "nodeName", default="")
    required = meta.nested(
        pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", default={}
    )
    for term in required.get("nodeSelectorTerms") or ():
        for each in term.get("matchFields") or ():
            if (
                each["key"] == "metadata.name"
                and each["operator"] == "In"
                and len(each.get("values") or ()) == 1
            ):
                return bound or str(each["values"][0])
    return bound


def is_current(pod: Object, digest: str) -> bool:
    return meta.labels(pod).get(HASH_LABEL) == digest


def min_ready_s(daemon_set: Object) -> int:
    return int(meta.nested(daemon_set, "spec", "minReadySeconds", default=0))


def surges(daemon_set: Object) -> bool:
    return _rolling(daemon_set).get("maxSurge") not in (None, 0, "0", "0%")


def plan(
    daemon_set: Object, nodes: Sequence[str], staying: Mapping[str, Sequence[Object]], digest: str, now: float
) -> tuple[list[str], list[Object]]:
    """(nodes for a new pod, pods to delete). `nodes`: that should run a daemon; `staying`: their pods."""
    pairs = {node: _pair(staying.get(node, ()), digest) for node in nodes}
    patience_s = min_ready_s(daemon_set)

    def available(pod: Object) -> bool:
        return pods.is_available(pod, patience_s, now)

    rolling = _rolling(daemon_set)
    if surges(daemon_set):
        return _surge(pairs, available, resolve(rolling["maxSurge"], len(nodes), up=True))
    limit = resolve(rolling.get("maxUnavailable", 1), len(nodes), up=True)
    return [], _replace(pairs, available, limit)


def _rolling(daemon_set: Object) -> Object:
    found: Object = meta.nested(daemon_set, "spec", "updateStrategy", "rollingUpdate", default={})
    return found


def _pair(on_node: Sequence[Object], digest: str) -> Pair | None:
    """None: there are too many, which is put right first."""
    old = [pod for pod in on_node if not is_current(pod, digest)]
    new = [pod for pod in on_node if is_current(pod, digest)]
    if len(old) > 1 or len(new) > 1:
        return None
    return (old[0] if old else None), (new[0] if new else None)


def _replace(pairs: Mapping[str, Pair | None], available: _Judge, max_unavailable: int) -> list[Object]:
    unavailable = 0
    broken: list[Object] = []
    candidates: list[Object] = []
    for pair in pairs.values():
        old, new = pair or (None, None)
        if old is not None and new is None:
            (candidates if available(old) else broken).append(old)
        else:
            unavailable += old is not None or new is None or not available(new)
    return broken + candidates[: max(max_unavailable - unavailable, 0)]


def _surge(
    pairs: Mapping[str, Pair | None], available: _Judge, max_surge: int
) -> tuple[list[str], list[Object]]:
    surging = 0
    broken: list[str] = []
    candidates: list[str] = []
    done: list[Object] = []
    for node, pair in pairs.items():
        if pair is None:
            surging += 1
            continue
        old, new = pair
        if old is None:
            continue
        if new is None:
            (candidates if available(old) else broken).append(node)
        elif available(new):
            done.append(old)
        else:
            surging += 1
    return broken + candidates[: max(max_surge - surging, 0)], done
