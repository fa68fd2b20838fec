"""The checks that the level `restricted` adds: a pod says that it gives up what it does not need."""

from __future__ import annotations

from control_plane.apiserver.admission.pod_security_standards.baseline import seccomp_baseline
from control_plane.apiserver.admission.pod_security_standards.wording import (
    Finding,
    Object,
    containers,
    name_containers,
    name_setters,
    names_of,
    plural,
    quoted,
    seccomp_type,
    security_context,
)

SAFE_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)


def capabilities_restricted(_: Object, spec: Object) -> Finding:
    def capabilities(container: Object, field: str) -> set[str]:
        return set((security_context(container).get("capabilities") or {}).get(field) or ())

    def forbidden(container: Object) -> set[str]:
        return capabilities(container, "add") - {"NET_BIND_SERVICE"}

    details = []
    keeping = names_of(spec, lambda c: "ALL" not in capabilities(c, "drop"))
    if keeping:
        details.append(f'{name_containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    adding = names_of(spec, lambda c: bool(forbidden(c)))
    if adding:
        extra = sorted(set().union(*map(forbidden, containers(spec))))
        details.append(
            f"{name_containers(adding)} must not include {quoted(extra)} in securityContext.capabilities.add"
        )
    return ("unrestricted capabilities", "; ".join(details)) if details else None


def seccomp_restricted(metadata: Object, spec: Object) -> Finding:
    found = seccomp_baseline(metadata, spec)
    if found is not None or seccomp_type(spec) is not None:
        return found
    names = names_of(spec, lambda c: seccomp_type(c) is None)
    if not names:
        return None
    return (
        "seccompProfile",
        f"pod or {name_containers(names)} must set securityContext.seccompProfile.type to "
        '"RuntimeDefault" or "Localhost"',
    )


def privilege_escalation(_: Object, spec: Object) -> Finding:
    names = names_of(spec, lambda c: security_context(c).get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    detail = f"{name_containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return "allowPrivilegeEscalation != false", detail


def restricted_volumes(_: Object, spec: Object) -> Finding:
    bad = [v for v in spec.get("volumes") or () if not SAFE_VOLUMES & v.keys()]
    if not bad:
        return None
    names = [v.get("name", "") for v in bad]
    types = sorted({next((key for key in v if key != "name"), "unknown") for v in bad})
    verb = "uses" if len(names) == 1 else "use"
    what = plural("restricted volume type", types)
    return (
        "restricted volume types",
        f"{plural('volume', names)} {quoted(names)} {verb} {what} {quoted(types)}",
    )


def run_as_non_root(_: Object, spec: Object) -> Finding:
    def setting(holder: Object) -> bool | None:
        value: bool | None = security_context(holder).get("runAsNonRoot")
        return value

    pod, names = setting(spec) is False, names_of(spec, lambda c: setting(c) is False)
    if pod or names:
        detail = f"{name_setters(pod, names)} must not set securityContext.runAsNonRoot=false"
        return "runAsNonRoot != true", detail
    open_ones = [] if setting(spec) else names_of(spec, lambda c: setting(c) is None)
    if not open_ones:
        return None
    detail = f"pod or {name_containers(open_ones)} must set securityContext.runAsNonRoot=true"
    return "runAsNonRoot != true", detail


def run_as_user(_: Object, spec: Object) -> Finding:
    def bad(holder: Object) -> bool:
        return security_context(holder).get("runAsUser") == 0

    pod, names = bad(spec), names_of(spec, bad)
    if not pod and not names:
        return None
    return "runAsUser=0", f"{name_setters(pod, names)} must not set runAsUser=0"
