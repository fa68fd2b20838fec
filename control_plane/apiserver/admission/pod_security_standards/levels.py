"""Which checks make up a level in a version, and what they find.

A table says from which minor version on a check counts in which form, and which weaker check of the baseline
it stands in for. Words and rules are those of k8s.io/pod-security-admission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from control_plane.api import meta
from control_plane.apiserver.admission.pod_security_standards import baseline, restricted
from control_plane.apiserver.admission.pod_security_standards.wording import CheckFunction, Object

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
LATEST_MINOR = 36


@dataclass(frozen=True, slots=True)
class Check:
    id: str
    level: str
    function: CheckFunction
    since: int = 0  # the first minor version with this form of the check
    replaces: str = ""  # a weaker check of the baseline


def evaluate(level: str, minor: int, metadata: Object, spec: Object) -> list[tuple[str, str]]:
    """What the level finds wrong with the pod, as (reason, detail); nothing means allowed."""
    found = (check.function(metadata, spec) for check in applicable(level, minor))
    return [finding for finding in found if finding is not None]


def applicable(level: str, minor: int) -> list[Check]:
    """The newest form of each check that the level has in that version: baseline first, then by name."""
    if level == PRIVILEGED:
        return []
    chosen: dict[str, Check] = {}
    for check in CHECKS:
        if check.since <= minor and (check.level == BASELINE or level == RESTRICTED):
            chosen[check.id] = check  # later forms stand later in the table
    replaced = {check.replaces for check in chosen.values()}
    kept = [check for check in chosen.values() if check.id not in replaced]
    return sorted(kept, key=lambda check: (check.level, check.id))


def describe(findings: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{reason} ({detail})" if detail else reason for reason, detail in findings)


def _in_user_namespace(spec: Object) -> bool:
    return spec.get("hostUsers") is False


def _is_windows(spec: Object) -> bool:
    return bool((spec.get("os") or {}).get("name") == "windows")


def _unless(exempt: Callable[[Object], bool], check: CheckFunction) -> CheckFunction:
    return lambda metadata, spec: None if exempt(spec) else check(metadata, spec)


CHECKS: tuple[Check, ...] = (
    Check("appArmorProfile", BASELINE, baseline.app_armor),
    Check("capabilities_baseline", BASELINE, baseline.capabilities_baseline),
    Check("hostNamespaces", BASELINE, baseline.host_namespaces),
    Check("hostPathVolumes", BASELINE, baseline.host_path_volumes),
    Check("hostPorts", BASELINE, baseline.host_ports),
    Check("hostProbesAndHostLifecycle", BASELINE, baseline.host_probes, since=34),
    Check("privileged", BASELINE, baseline.privileged),
    Check("procMount", BASELINE, baseline.proc_mount),
    Check("procMount", BASELINE, _unless(_in_user_namespace, baseline.proc_mount), since=35),
    Check("seLinuxOptions", BASELINE, baseline.selinux(baseline.SELINUX_TYPES)),
    Check(
        "seLinuxOptions",
        BASELINE,
        baseline.selinux(baseline.SELINUX_TYPES | {"container_engine_t"}),
        since=31,
    ),
    Check("seccompProfile_baseline", BASELINE, baseline.seccomp_baseline, since=19),
    *(Check("sysctls", BASELINE, baseline.sysctls(since), since=since) for since, _ in baseline.SAFE_SYSCTLS),
    Check("windowsHostProcess", BASELINE, baseline.host_process),
    Check("allowPrivilegeEscalation", RESTRICTED, restricted.privilege_escalation, since=8),
    Check(
        "allowPrivilegeEscalation",
        RESTRICTED,
        _unless(_is_windows, restricted.privilege_escalation),
        since=25,
    ),
    Check(
        "capabilities_restricted", RESTRICTED, restricted.capabilities_restricted, 22, "capabilities_baseline"
    ),
    Check(
        "capabilities_restricted",
        RESTRICTED,
        _unless(_is_windows, restricted.capabilities_restricted),
        25,
        "capabilities_baseline",
    ),
    Check("procMount_restricted", RESTRICTED, baseline.proc_mount, 35, "procMount"),
    Check("restrictedVolumes", RESTRICTED, restricted.restricted_volumes, 0, "hostPathVolumes"),
    Check("runAsNonRoot", RESTRICTED, restricted.run_as_non_root),
    Check("runAsNonRoot", RESTRICTED, _unless(_in_user_namespace, restricted.run_as_non_root), since=35),
    Check("runAsUser", RESTRICTED, restricted.run_as_user, since=23),
    Check("runAsUser", RESTRICTED, _unless(_in_user_namespace, restricted.run_as_user), since=35),
    Check(
        "seccompProfile_restricted", RESTRICTED, restricted.seccomp_restricted, 19, "seccompProfile_baseline"
    ),
    Check(
        "seccompProfile_restricted",
        RESTRICTED,
        _unless(_is_windows, restricted.seccomp_restricted),
        25,
        "seccompProfile_baseline",
    ),
)


def pod_of(obj: Object, kind: str) -> tuple[Object, Object] | None:
    """The metadata and spec of the pod that an object is or makes; None if it makes none."""
    if kind == "pods":
        return meta.metadata(obj), obj.get("spec") or {}
    spec = obj.get("spec") or {}
    template = obj.get("template") if kind == "podtemplates" else spec.get("template")
    if kind == "cronjobs":
        template = meta.nested(spec, "jobTemplate", "spec", "template")
    if not template:
        return None
    return meta.metadata(template), template.get("spec") or {}
