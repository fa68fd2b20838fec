"""podFailurePolicy: what the failure of one pod means for its job. The first rule that matches decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control_plane.api import meta
from control_plane.api.meta import Object

FAIL_JOB, FAIL_INDEX, IGNORE, COUNT = "FailJob", "FailIndex", "Ignore", "Count"


def action(job: Object, pod: Object) -> str:
    return _match(job, pod)[0]


def fatal(job: Object, owned: Iterable[Object]) -> str:
    """Why the job must fail at once, because of one of its failed pods; "" if it need not."""
    for pod in owned:
        if meta.nested(pod, "status", "phase") == "Failed":
            found, why = _match(job, pod)
            if found == FAIL_JOB:
                return why
    return ""


def _match(job: Object, pod: Object) -> tuple[str, str]:
    """(action, what matched)."""
    for number, rule in enumerate(meta.nested(job, "spec", "podFailurePolicy", "rules", default=())):
        name, key = rule["action"], meta.key_of(pod)
        if rule.get("onExitCodes") is not None:
            found = _exit_code(rule["onExitCodes"], pod)
            if found is not None:
                container, code = found
                what = f"Container {container} for pod {key} failed with exit code {code}"
                return name, f"{what} matching {name} rule at index {number}"
        else:
            condition = _condition(rule.get("onPodConditions") or (), pod)
            if condition:
                return name, f"Pod {key} has condition {condition} matching {name} rule at index {number}"
    return COUNT, ""


def _exit_code(rule: Object, pod: Object) -> tuple[str, int] | None:
    status = pod.get("status") or {}
    for each in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        if rule.get("containerName") not in (None, "", each["name"]):
            continue
        code = meta.nested(each, "state", "terminated", "exitCode")
        if code and (code in rule["values"]) == (rule["operator"] == "In"):
            return each["name"], int(code)
    return None


def _condition(patterns: Sequence[Object], pod: Object) -> str:
    for pattern in patterns:
        found = meta.condition(pod, pattern["type"])
        if found is not None and found.get("status") == pattern.get("status", "True"):
            return str(pattern["type"])
    return ""
