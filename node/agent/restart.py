"""When an ended container is started again: restart policies, restart rules, CrashLoopBackOff.

The back-off is a function of what the runtime remembers, not of the agent's memory: each container carries,
in an annotation, how long the wait after its end is. The first restart is immediate, then 10 s, doubling to
300 s; a container that ran for ten minutes starts over. So a restarted agent goes on with the same waits.
"""

from __future__ import annotations

from node.agent.pod_spec import Obj, Role, restart_policy
from node.agent.times import NS_PER_S
from node.agent.view import BACKOFF_ANNOTATION, View
from node.runtime.interface import ContainerStatus

INITIAL_BACKOFF_S = 10
MAX_BACKOFF_S = 300
RESET_AFTER_S = 600.0


def wanted(view: View, container: Obj, role: Role, ended: ContainerStatus) -> bool:
    """By policy; one that was killed for a failed probe counts as failed, whatever its exit code."""
    probes = view.probes_of(ended)
    killed_by_probe = probes.liveness is False or probes.startup is False
    return wants_restart(view.pod, container, role, ended.exit_code or int(killed_by_probe))


def wants_restart(pod: Obj, container: Obj, role: Role, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` runs again."""
    if role is Role.EPHEMERAL:
        return False
    if role is Role.SIDECAR:
        return True
    if rule := _matching_rule(container, exit_code):
        return str(rule.get("action")) == "Restart"
    policy = container.get("restartPolicy") or restart_policy(pod)
    if role is Role.INIT:  # for it, Always and OnFailure are the same: it runs until it has succeeded
        return policy != "Never" and exit_code != 0
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _matching_rule(container: Obj, exit_code: int) -> Obj | None:
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or [])
        if listed == (codes.get("operator") == "In"):
            found: Obj = rule
            return found
    return None


def _carried_s(ended: ContainerStatus) -> int:
    """The wait that stands after `ended`; none when it ran long enough to be called well."""
    ran_s = (ended.finished_at_ns - ended.created_at_ns) / NS_PER_S
    if ran_s > RESET_AFTER_S:
        return 0
    return int(ended.config.annotations.get(BACKOFF_ANNOTATION, "0"))


def restart_at_s(ended: ContainerStatus) -> float:
    return ended.finished_at_ns / NS_PER_S + _carried_s(ended)


def waiting_s(ended: ContainerStatus) -> int:
    return _carried_s(ended)


def next_backoff_s(ended: ContainerStatus | None) -> int:
    """What the container that follows `ended` carries; the first one of all carries none."""
    if ended is None:
        return 0
    carried = _carried_s(ended)
    return min(carried * 2, MAX_BACKOFF_S) if carried else INITIAL_BACKOFF_S


def go_duration(seconds: int) -> str:
    """As Go prints it in "back-off 2m40s restarting failed container"."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
