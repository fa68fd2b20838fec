"""The checks of the level `baseline`: nothing that is known to give a pod power over its node."""

from __future__ import annotations

from control_plane.apiserver.admission.pod_security_standards.wording import (
    CheckFunction,
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

DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
SAFE_SYSCTLS: tuple[tuple[int, frozenset[str]], ...] = (
    (
        0,
        frozenset(
            {
                "kernel.shm_rmid_forced",
                "net.ipv4.ip_local_port_range",
                "net.ipv4.tcp_syncookies",
                "net.ipv4.ping_group_range",
                "net.ipv4.ip_unprivileged_port_start",
            }
        ),
    ),
    (27, frozenset({"net.ipv4.ip_local_reserved_ports"})),
    (
        29,
        frozenset(
            {
                "net.ipv4.tcp_keepalive_time",
                "net.ipv4.tcp_fin_timeout",
                "net.ipv4.tcp_keepalive_intvl",
                "net.ipv4.tcp_keepalive_probes",
            }
        ),
    ),
    (32, frozenset({"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"})),
)
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def app_armor(metadata: Object, spec: Object) -> Finding:
    def bad(holder: Object) -> bool:
        profile = security_context(holder).get("appArmorProfile")
        return profile is not None and profile.get("type") not in ("RuntimeDefault", "Localhost")

    pod, names = bad(spec), names_of(spec, bad)
    holders = [h for h in (spec, *containers(spec)) if bad(h)]
    values = sorted({security_context(h)["appArmorProfile"].get("type", "") for h in holders})
    annotations = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(APPARMOR_ANNOTATION) and not _allowed_app_armor(value)
    )
    setters = [
        s for s in (name_setters(pod, names), plural("annotation", annotations) if annotations else "") if s
    ]
    if not setters:
        return None
    values += annotations
    detail = f"{' and '.join(setters)} must not set AppArmor profile type to {quoted(values)}"
    return plural("forbidden AppArmor profile", values), detail


def _allowed_app_armor(value: str) -> bool:
    return value in ("", "runtime/default") or value.startswith("localhost/")


def capabilities_baseline(_: Object, spec: Object) -> Finding:
    def added(container: Object) -> set[str]:
        return (
            set((security_context(container).get("capabilities") or {}).get("add") or ())
            - DEFAULT_CAPABILITIES
        )

    names = names_of(spec, lambda c: bool(added(c)))
    if not names:
        return None
    extra = sorted(set().union(*map(added, containers(spec))))
    detail = f"{name_containers(names)} must not include {quoted(extra)} in securityContext.capabilities.add"
    return "non-default capabilities", detail


def host_namespaces(_: Object, spec: Object) -> Finding:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return ("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(_: Object, spec: Object) -> Finding:
    names = [v.get("name", "") for v in spec.get("volumes") or () if "hostPath" in v]
    return ("hostPath volumes", f"{plural('volume', names)} {quoted(names)}") if names else None


def host_ports(_: Object, spec: Object) -> Finding:
    def used(container: Object) -> set[str]:
        return {str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")}

    names = names_of(spec, lambda c: bool(used(c)))
    if not names:
        return None
    ports = sorted(set().union(*map(used, containers(spec))))
    verb = "uses" if len(names) == 1 else "use"
    return "hostPort", f"{name_containers(names)} {verb} {plural('hostPort', ports)} {', '.join(ports)}"


def host_probes(_: Object, spec: Object) -> Finding:
    def hosts(container: Object) -> set[str]:
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(f) for f in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        actions = [(h or {}).get(kind) or {} for h in handlers for kind in ("httpGet", "tcpSocket")]
        return {action["host"] for action in actions if action.get("host")}

    names = sorted(names_of(spec, lambda c: bool(hosts(c))))
    if not names:
        return None
    found = sorted(set().union(*map(hosts, containers(spec))))
    verb = "uses" if len(names) == 1 else "use"
    what = plural("probe or lifecycle host", found)
    return "probe or lifecycle host", f"{name_containers(names)} {verb} {what} {quoted(found)}"


def privileged(_: Object, spec: Object) -> Finding:
    names = names_of(spec, lambda c: bool(security_context(c).get("privileged")))
    if not names:
        return None
    return "privileged", f"{name_containers(names)} must not set securityContext.privileged=true"


def proc_mount(_: Object, spec: Object) -> Finding:
    def mount(container: Object) -> str:
        return str(security_context(container).get("procMount") or "Default")

    names = names_of(spec, lambda c: mount(c) != "Default")
    if not names:
        return None
    kinds = sorted({mount(c) for c in containers(spec)} - {"Default"})
    return "procMount", f"{name_containers(names)} must not set securityContext.procMount to {quoted(kinds)}"


def selinux(allowed: frozenset[str]) -> CheckFunction:
    def check(_: Object, spec: Object) -> Finding:
        def options(holder: Object) -> Object:
            return security_context(holder).get("seLinuxOptions") or {}

        def bad(holder: Object) -> bool:
            o = options(holder)
            return bool(o.get("type", "") not in allowed or o.get("user") or o.get("role"))

        pod, names = bad(spec), names_of(spec, bad)
        if not pod and not names:
            return None
        holders = [options(h) for h in (spec, *containers(spec))]
        types = sorted({o.get("type", "") for o in holders} - allowed)
        data = [f"{plural('type', types)} {quoted(types)}"] if types else []
        data += [
            f"{field} may not be set" for field in ("user", "role") if any(o.get(field) for o in holders)
        ]
        detail = f"{name_setters(pod, names)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
        return "seLinuxOptions", detail

    return check


def seccomp_baseline(_: Object, spec: Object) -> Finding:
    def bad(holder: Object) -> bool:
        return seccomp_type(holder) not in (None, "RuntimeDefault", "Localhost")

    pod, names = bad(spec), names_of(spec, bad)
    if not pod and not names:
        return None
    values = sorted({seccomp_type(h) or "" for h in (spec, *containers(spec)) if bad(h)})
    detail = (
        f"{name_setters(pod, names)} must not set securityContext.seccompProfile.type to {quoted(values)}"
    )
    return "seccompProfile", detail


def sysctls(minor: int) -> CheckFunction:
    allowed = frozenset().union(*(names for since, names in SAFE_SYSCTLS if since <= minor))

    def check(_: Object, spec: Object) -> Finding:
        names = [s.get("name", "") for s in security_context(spec).get("sysctls") or ()]
        unsafe = [name for name in names if name not in allowed]
        return ("forbidden sysctls", ", ".join(unsafe)) if unsafe else None

    return check


def host_process(_: Object, spec: Object) -> Finding:
    def bad(holder: Object) -> bool:
        return bool((security_context(holder).get("windowsOptions") or {}).get("hostProcess"))

    pod, names = bad(spec), names_of(spec, bad)
    if not pod and not names:
        return None
    return (
        "hostProcess",
        f"{name_setters(pod, names)} must not set securityContext.windowsOptions.hostProcess=true",
    )
