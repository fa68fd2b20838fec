"""From a container of a pod to what the runtime is asked for. Pure, but for what `Sources` looks up.

Commands and arguments have their `$(NAME)` expanded with the container's environment. The restart back-off
travels as an annotation (see `restart`). Security settings of the container win over the pod's.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.agent import environment, qos, resize
from node.agent.errors import ConfigError
from node.agent.pod_spec import Obj, name, namespace, uid
from node.agent.view import BACKOFF_ANNOTATION, StartContainer
from node.runtime.interface import ContainerConfig, MemoryVolume, Mount, SandboxConfig, SecurityContext

GRACE_ANNOTATION = "io.kubernetes.pod.terminationGracePeriod"
MAX_HOSTNAME = 63


def sandbox(
    pod: Obj,
    attempt: int,
    log_directory: str,
    dns: Sequence[str],
    domain: str,
    memory_volumes: Sequence[MemoryVolume] = (),
) -> SandboxConfig:
    spec = pod["spec"]
    security = spec.get("securityContext") or {}
    servers, searches, options = _dns(pod, dns, domain)
    grace = spec.get("terminationGracePeriodSeconds")
    return SandboxConfig(
        namespace=namespace(pod),
        name=name(pod),
        uid=uid(pod),
        attempt=attempt,
        hostname=hostname(pod),
        log_directory=log_directory,
        labels=dict(pod["metadata"].get("labels") or {}),
        annotations={} if grace is None else {GRACE_ANNOTATION: str(grace)},
        host_network=bool(spec.get("hostNetwork")),
        host_pid=bool(spec.get("hostPID")),
        share_process_namespace=bool(spec.get("shareProcessNamespace")),
        dns_servers=servers,
        dns_searches=searches,
        dns_options=options,
        host_aliases=[(each["ip"], each.get("hostnames") or []) for each in spec.get("hostAliases") or []],
        memory_volumes=memory_volumes,
        sysctls={each["name"]: each["value"] for each in security.get("sysctls") or []},
    )


def hostname(pod: Obj) -> str:
    given = pod["spec"].get("hostnameOverride") or pod["spec"].get("hostname") or name(pod)
    return str(given)[:MAX_HOSTNAME].rstrip("-.")


def _dns(pod: Obj, servers: Sequence[str], domain: str) -> tuple[list[str], list[str], list[str]]:
    """resolv.conf by dnsPolicy; with Default, or without a cluster DNS, the runtime keeps the host's."""
    policy = pod["spec"].get("dnsPolicy", "ClusterFirst")
    custom = pod["spec"].get("dnsConfig") or {}
    cluster = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not pod["spec"].get("hostNetwork")
    )
    names: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    if cluster and servers:
        names = list(servers)
        searches = [f"{namespace(pod)}.svc.{domain}", f"svc.{domain}", domain]
        options = ["ndots:5"]
    names += [each for each in custom.get("nameservers") or [] if each not in names]
    searches += [each for each in custom.get("searches") or [] if each not in searches]
    for option in custom.get("options") or []:
        options = [each for each in options if each.partition(":")[0] != option["name"]]
        options.append(f"{option['name']}:{option['value']}" if option.get("value") else option["name"])
    return names, searches, options


def container(
    pod: Obj,
    spec: Obj,
    start: StartContainer,
    sources: environment.Sources,
    mounts: Sequence[Mount],
    node_memory_bytes: int,
) -> ContainerConfig:
    """Raises ConfigError."""
    env = environment.make(pod, spec, sources)
    known = dict(env)
    return ContainerConfig(
        name=spec["name"],
        attempt=start.attempt,
        image=spec.get("image", ""),
        command=[environment.expand(each, known) for each in spec.get("command") or []],
        args=[environment.expand(each, known) for each in spec.get("args") or []],
        env=env,
        log_path=f"{spec['name']}/{start.attempt}.log",
        working_dir=spec.get("workingDir") or "",
        mounts=mounts,
        labels={
            "io.kubernetes.pod.name": name(pod),
            "io.kubernetes.pod.namespace": namespace(pod),
            "io.kubernetes.pod.uid": uid(pod),
            "io.kubernetes.container.name": spec["name"],
        },
        annotations={BACKOFF_ANNOTATION: str(start.backoff_s), **resize.notes(pod, spec)},
        resources=qos.runtime_resources(pod, spec, node_memory_bytes),
        security=security(pod, spec),
        stdin=bool(spec.get("stdin")),
        stdin_once=bool(spec.get("stdinOnce")),
        tty=bool(spec.get("tty")),
        stop_signal=str((spec.get("lifecycle") or {}).get("stopSignal") or ""),
    )


def security(pod: Obj, spec: Obj) -> SecurityContext:
    whole, own = pod["spec"].get("securityContext") or {}, spec.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    user = own.get("runAsUser", whole.get("runAsUser"))
    if own.get("runAsNonRoot", whole.get("runAsNonRoot")) and user == 0:
        raise ConfigError(
            f"container's runAsUser breaks non-root policy (pod: {_quoted(pod)}, container: {spec['name']})"
        )
    groups = list(whole.get("supplementalGroups") or [])
    if whole.get("fsGroup") is not None:
        groups.append(whole["fsGroup"])
    privileged = bool(own.get("privileged"))
    return SecurityContext(
        run_as_user=user,
        run_as_group=own.get("runAsGroup", whole.get("runAsGroup")),
        supplemental_groups=groups,
        privileged=privileged,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        add_capabilities=capabilities.get("add") or [],
        drop_capabilities=capabilities.get("drop") or [],
        no_new_privs=not privileged and own.get("allowPrivilegeEscalation") is False,
    )


def _quoted(pod: Obj) -> str:
    return f'"{name(pod)}_{namespace(pod)}({uid(pod)})"'
