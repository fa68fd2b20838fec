"""PodSecurity: a namespace's labels say which pods it takes.

`pod-security.kubernetes.io/enforce` refuses, `warn` tells the user, `audit` notes; each has a level and a
version. What makes pods (a Deployment, a Job) is only warned about: its pods will be refused. A namespace
whose enforced level is raised is told which of its pods break it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.api import errors, meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, forbidden
from control_plane.apiserver.admission.pod_security_standards import levels, wording

PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
MAX_PODS_CHECKED = 3000  # when a namespace's level is raised

CONTROLLERS = frozenset(
    {
        ("", "podtemplates"),
        ("", "replicationcontrollers"),
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("batch", "cronjobs"),
        ("batch", "jobs"),
    }
)
IGNORED_SUBRESOURCES = frozenset(
    {"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"}
)


@dataclass(frozen=True, slots=True)
class Policy:
    level: str = levels.PRIVILEGED
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    def findings(self, pod: tuple[Object, Object]) -> list[tuple[str, str]]:
        minor = levels.LATEST_MINOR if self.version == "latest" else int(self.version[3:])
        return levels.evaluate(self.level, minor, *pod)


class PodSecurity(Plugin):
    name = "PodSecurity"

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation not in (Operation.CREATE, Operation.UPDATE) or request.object is None:
            return
        kind = (request.group, request.resource)
        if kind == ("", "namespaces") and not request.subresource:
            self._namespace(request)
        elif kind == ("", "pods") and request.subresource not in IGNORED_SUBRESOURCES:
            if request.operation is Operation.CREATE or _is_significant(request):
                self._check(request, enforce=True)
        elif kind in CONTROLLERS and not request.subresource:
            self._check(request, enforce=False)

    def _check(self, request: AdmissionRequest, enforce: bool) -> None:
        namespace = self._reader.get("", "namespaces", "", request.namespace)
        pod = levels.pod_of(request.object or {}, request.resource)
        if namespace is None or pod is None:
            return
        policies, problems = policies_of(meta.labels(namespace))
        if problems:
            told = ", ".join(map(str, problems))
            request.annotations[PREFIX + "error"] = f"Failed to parse policy: {told}"
        if enforce:
            policy = policies["enforce"]
            request.annotations[PREFIX + "enforce-policy"] = str(policy)
            found = policy.findings(pod)
            if found:
                raise forbidden(request, f'violates PodSecurity "{policy}": {levels.describe(found)}')
        for mode in ("audit", "warn"):
            found = policies[mode].findings(pod)
            if not found:
                continue
            text = f'would violate PodSecurity "{policies[mode]}": {levels.describe(found)}'
            if mode == "warn":
                request.warnings.append(text)
            else:
                request.annotations[PREFIX + "audit-violations"] = text

    def _namespace(self, request: AdmissionRequest) -> None:
        namespace = request.object or {}
        new, problems = policies_of(meta.labels(namespace))
        old, old_problems = policies_of(meta.labels(request.old_object or {}))
        if problems and list(map(str, problems)) != list(map(str, old_problems)):
            raise errors.invalid("", "Namespace", meta.name_of(namespace), problems)
        enforce = new["enforce"]
        if request.operation is not Operation.UPDATE or not _is_stricter(enforce, old["enforce"]):
            return
        request.warnings.extend(self._violations(meta.name_of(namespace), enforce))

    def _violations(self, namespace: str, policy: Policy) -> list[str]:
        pods = self._reader.list("", "pods", namespace)
        names: dict[str, list[str]] = {}
        for pod in pods[:MAX_PODS_CHECKED]:
            found = policy.findings((meta.metadata(pod), pod.get("spec") or {}))
            if found:
                reasons = ", ".join(reason for reason, _ in found)
                names.setdefault(reasons, []).append(meta.name_of(pod))
        warnings = []
        if len(pods) > MAX_PODS_CHECKED:
            warnings.append(
                f"new PodSecurity enforce level only checked against the first {MAX_PODS_CHECKED} of {len(pods)} "
                "existing pods"
            )
        if names:
            warnings.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{policy}"'
            )
        return warnings + sorted(_decorated(sorted(pods), reasons) for reasons, pods in names.items())


def policies_of(labels: Mapping[str, str]) -> tuple[dict[str, Policy], list[errors.FieldError]]:
    """Each mode's policy, and what is wrong with the labels: then `enforce` is strict and the others are
    open."""
    found: dict[str, Policy] = {}
    problems: list[errors.FieldError] = []
    for mode in MODES:
        level = labels.get(PREFIX + mode, levels.PRIVILEGED)
        version = labels.get(f"{PREFIX}{mode}-version", "latest")
        if level not in levels.LEVELS:
            words = f"must be one of {', '.join(levels.LEVELS)}"
            problems.append(errors.invalid_value(f"metadata.labels[{PREFIX}{mode}]", level, words))
            level = levels.RESTRICTED if mode == "enforce" else levels.PRIVILEGED
        if not is_version(version):
            words = 'must be "latest" or "v1.x"'
            problems.append(errors.invalid_value(f"metadata.labels[{PREFIX}{mode}-version]", version, words))
            version = "latest"
        found[mode] = Policy(level, version)
    if PREFIX + "warn" not in labels and labels.get(PREFIX + "enforce") in levels.LEVELS:
        own_version = PREFIX + "warn-version" in labels
        found["warn"] = Policy(found["enforce"].level, found["warn" if own_version else "enforce"].version)
    return found, problems


def is_version(text: str) -> bool:
    digits = text[3:]
    return text == "latest" or (
        text.startswith("v1.") and digits.isascii() and digits.isdigit() and len(digits) < 6
    )


def _is_stricter(new: Policy, old: Policy) -> bool:
    if new == old or new.level == levels.PRIVILEGED:
        return False
    order = levels.LEVELS
    return new.version != old.version or order.index(new.level) > order.index(old.level)


def _is_significant(request: AdmissionRequest) -> bool:
    """Whether an update touches what a pod may be refused for."""
    new, old = ((o or {}).get("spec") or {} for o in (request.object, request.old_object))
    return [_essence(c) for c in wording.containers(new)] != [_essence(c) for c in wording.containers(old)]


def _essence(container: Object) -> tuple[object, ...]:
    return container.get("name"), container.get("image"), container.get("securityContext")


def _decorated(names: list[str], reasons: str) -> str:
    if len(names) == 1:
        return f"{names[0]}: {reasons}"
    others = "1 other pod" if len(names) == 2 else f"{len(names) - 1} other pods"
    return f"{names[0]} (and {others}): {reasons}"
