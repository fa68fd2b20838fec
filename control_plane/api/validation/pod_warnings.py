"""What of a pod's spec is accepted but worth a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control_plane.api import errors
from control_plane.api.quantity import NANO, parse_or_zero

Spec = Mapping[str, Any]
Containers = Sequence[tuple[str, Spec]]  # each with its path

_OLD_NODE_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SPELLED = {"storageos": "storageOS"}
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_WORDS = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APPARMOR_WORDS = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_BYTES = ("memory", "ephemeral-storage")


def of_pod(path: str, metadata: Mapping[str, Any], spec: Spec) -> Iterator[str]:
    """`path` leads to the template; "" is a pod itself."""
    root = f"{path}." if path else ""
    containers = [
        (f"{root}spec.{key}[{index}]", container)
        for key in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(key) or ())
    ]
    annotations = metadata.get("annotations") or {}
    yield from _placement(f"{root}spec", spec)
    yield from _annotations(f"{root}metadata.annotations", annotations)
    yield from _volumes(f"{root}spec.volumes", spec)
    yield from _repeated(f"{root}spec.hostAliases", "ip", spec.get("hostAliases") or [])
    secrets = spec.get("imagePullSecrets") or []
    yield from _repeated(f"{root}spec.imagePullSecrets", "name", secrets)
    for index, secret in enumerate(secrets):
        if not secret.get("name"):
            yield f'{root}spec.imagePullSecrets[{index}].name: invalid empty name ""'
    yield from _fractions(f"{root}spec.overhead", spec.get("overhead") or {}, _BYTES)
    yield from _old_profiles(
        f"{root}metadata.annotations", annotations, spec, containers, in_template=bool(path)
    )
    for where, container in containers:
        yield from _container(where, container)
    yield from _ports(containers)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        where = f"{root}spec.terminationGracePeriodSeconds"
        yield f"{where}: must be >= 0; negative values are invalid and will be treated as 1"


def _annotations(path: str, annotations: Mapping[str, str]) -> Iterator[str]:
    for key, words in _OLD_ANNOTATIONS.items():
        if key in annotations:
            yield f"{path}[{key}]: {words}"


def _old_profiles(
    path: str, annotations: Mapping[str, str], spec: Spec, containers: Containers, in_template: bool
) -> Iterator[str]:
    """Profiles by annotation, where no field says the same."""
    context = spec.get("securityContext") or {}
    if _SECCOMP_POD in annotations and context.get("seccompProfile") is None:
        yield f"{path}[{_SECCOMP_POD}]: {_SECCOMP_WORDS}"
    for _, container in containers:
        own, name = container.get("securityContext") or {}, container.get("name", "")
        key = _SECCOMP_PREFIX + name
        if key in annotations and own.get("seccompProfile") is None:
            yield f"{path}[{key}]: {_SECCOMP_WORDS}"
        key, profile = _APPARMOR_PREFIX + name, own.get("appArmorProfile") or context.get("appArmorProfile")
        if in_template and key in annotations and profile is None:
            yield f"{path}[{key}]: {_APPARMOR_WORDS}"


def _placement(path: str, spec: Spec) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        yield from _old_label(f"{path}.nodeSelector[{key}]", key)
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = [
        (
            f"{path}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{index}]",
            term,
        )
        for index, term in enumerate(required.get("nodeSelectorTerms") or ())
    ]
    terms += [
        (
            f"{path}.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}].preference",
            each.get("preference") or {},
        )
        for index, each in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ())
    ]
    for where, term in terms:
        for index, expression in enumerate(term.get("matchExpressions") or ()):
            yield from _old_label(f"{where}.matchExpressions[{index}].key", expression.get("key", ""))
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where = f"{path}.topologySpreadConstraints[{index}]"
        yield from _old_label(f"{where}.topologyKey", constraint.get("topologyKey", ""))
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: a null labelSelector results in matching no pod"


def _old_label(path: str, key: str) -> Iterator[str]:
    if key in _OLD_NODE_LABELS:
        since, instead = _OLD_NODE_LABELS[key]
        shown = f"{path}: " if path.endswith("]") else f"{path}: {key} is "
        yield f"{shown}deprecated since {since}; use {errors.quote(instead)} instead"


def _volumes(path: str, spec: Spec) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for key, words in _OLD_VOLUMES.items():
            if volume.get(key) is not None:
                yield f"{path}[{index}].{_SPELLED.get(key, key)}: {words}"
        claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}
        yield from fractional(
            f"{path}[{index}].ephemeral.volumeClaimTemplate.spec.resources",
            (claim.get("spec") or {}).get("resources") or {},
            "storage",
        )


def _repeated(path: str, key: str, items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    taken: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(key, "")
        if value in taken:
            yield f"{path}[{index}].{key}: duplicate {key} {errors.quote(value)}"
        taken.add(value)


def _container(path: str, container: Spec) -> Iterator[str]:
    for name in _BYTES:
        yield from fractional(f"{path}.resources", container.get("resources") or {}, name)
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value", "")
        reference = f"$({name})"
        builds_on_it = reference in value and value != reference and variable.get("valueFrom") is None
        if name in seen and not builds_on_it:
            shown = errors.quote(name)
            yield f"{path}.env[{index}]: hides previous definition of {shown}, which may be dropped when using apply"
        seen.add(name)


def fractional(path: str, resources: Mapping[str, Any], name: str) -> Iterator[str]:
    """A part of a byte."""
    for side in ("limits", "requests"):
        yield from _fractions(f"{path}.{side}", resources.get(side) or {}, (name,))


def _fractions(path: str, amounts: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        amount = amounts.get(name)
        if amount is not None and parse_or_zero(amount).nanos % NANO:
            shown = errors.quote(str(amount))
            yield f"{path}[{name}]: fractional byte value {shown} is invalid, must be an integer"


def _ports(containers: Containers) -> Iterator[str]:
    """Ports of all containers are those of one address."""
    taken: dict[tuple[Any, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for path, container in containers:
        for index, port in enumerate(container.get("ports") or ()):
            where = f"{path}.ports[{index}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{where}: hostIP set without hostPort: {_as_go(port)}"
            others = taken.setdefault((port.get("containerPort"), port.get("protocol", "TCP")), [])
            for other_path, other in others:
                if how := _clash(port, other):
                    yield f"{where}: {how} port definition with {other_path}"
            others.append((where, port))


def _clash(port: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    number, address = port.get("hostPort", 0), port.get("hostIP", "")
    other_number, other_address = other.get("hostPort", 0), other.get("hostIP", "")
    if (number, address) == (other_number, other_address):
        return "duplicate"
    if not number or not other_number:
        return "overlapping"
    if number == other_number and bool(address) != bool(other_address):
        return "dangerously ambiguous"
    return ""


def _as_go(port: Mapping[str, Any]) -> str:
    fields = ("name", "hostPort", "containerPort", "protocol", "hostIP")
    empty: dict[str, Any] = {"hostPort": 0, "containerPort": 0}
    shown = (f"{key[0].upper()}{key[1:]}:{port.get(key, empty.get(key, ''))}" for key in fields)
    return f"{{{' '.join(shown)}}}"
