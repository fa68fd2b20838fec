"""From CRI's container configuration to the launch spec that the shim carries out. Pure but for /etc/passwd.

The spec is JSON in the container's directory. All that needs judgement is decided here; the shim only obeys.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.runtime.interface import ContainerConfig, CreateError, SandboxConfig
from node.runtime.process.images import Image
from node.runtime.process.isolation import Isolation
from node.runtime.process.limits import Limiter
from node.runtime.process.shim import capabilities

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WRITABLE_LAYER_BYTES = 1024 * 1024 * 1024  # tmpfs: bounded memory, of which only what is written is used
VOLUMES_VARIABLE = "BALSA_VOLUMES"  # without isolation: the directory below which the volumes are found


@dataclass(frozen=True, slots=True)
class Host:
    """What the node offers every container."""

    isolation: Isolation
    limiter: Limiter
    hidden: Sequence[str]


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def build(
    sandbox: SandboxConfig,
    ips: Sequence[str],
    container_id: str,
    config: ContainerConfig,
    image: Image,
    host: Host,
) -> dict[str, Any]:
    identity = identity_of(config, image)
    plan = host.limiter.plan(container_id, config.resources, sandbox.uid)
    return {
        "argv": argv_of(config, image),
        "env": list(environment(sandbox, config, image, identity).items()),
        "cwd": config.working_dir or image.config.get("WorkingDir") or "/",
        "uid": identity.uid,
        "gid": identity.gid,
        "groups": list(identity.groups),
        "capabilities": _capabilities(config),
        "privileged": config.security.privileged,
        "no_new_privs": _no_new_privs(config, image),
        "isolated": host.isolation.isolated,
        "user_namespace": host.isolation.user_namespace,
        "host_pid": sandbox.host_pid,
        "share_pid": sandbox.share_process_namespace,
        "rootfs": image.rootfs,
        "read_only_root": config.security.read_only_root,
        "writable_bytes": WRITABLE_LAYER_BYTES,
        "mounts": mounts_of(config, sandbox.uid, host.hidden),
        "hidden": list(host.hidden),
        "etc_files": etc_files(sandbox, ips, config),
        "rlimits": host.limiter.rlimits(config.resources),
        "oom_score_adj": config.resources.oom_score_adj,
        "cgroups": plan,
        "cgroup_files": plan["procs"],
        "log_path": str(Path(sandbox.log_directory) / config.log_path),
        "stdin": config.stdin,
        "stdin_once": config.stdin_once,
        "tty": config.tty,
    }


def argv_of(config: ContainerConfig, image: Image) -> list[str]:
    """The rules of the API reference: a command replaces the image's entrypoint and drops its arguments."""
    entrypoint, arguments = image.config.get("Entrypoint") or [], image.config.get("Cmd") or []
    if config.command:
        argv = [*config.command, *config.args]
    else:
        argv = [*entrypoint, *(config.args or arguments)]
    if not argv:
        raise CreateError("no command specified")
    return argv


def environment(
    sandbox: SandboxConfig, config: ContainerConfig, image: Image, identity: Identity
) -> dict[str, str]:
    env = {"PATH": DEFAULT_PATH if image.rootfs else _host_path(), "HOSTNAME": sandbox.hostname}
    env["HOME"] = identity.home
    if config.tty:
        env["TERM"] = "xterm"
    for entry in image.config.get("Env") or ():
        name, _, value = entry.partition("=")
        env[name] = value
    env.update(config.env)
    return env


def _host_path() -> str:
    """The usual directories first, then where the host's user has more programs."""
    entries = DEFAULT_PATH.split(":") + os.environ.get("PATH", "").split(":")
    return ":".join(dict.fromkeys(entry for entry in entries if entry.startswith("/")))


def mounts_of(config: ContainerConfig, pod_uid: str, hidden: Sequence[str]) -> list[dict[str, Any]]:
    """Parents before what is mounted below them. Of the state directory a pod may mount only what is its own,
    which the agent keeps below `pods/<uid>/`; a hostPath volume does not lead to the cluster's keys."""
    mounts = []
    for mount in sorted(config.mounts, key=lambda mount: mount.container_path.rstrip("/").count("/")):
        if not mount.container_path.startswith("/"):
            raise CreateError(f"mount path {mount.container_path!r} is not absolute")
        if not Path(mount.host_path).exists():
            raise CreateError(f"failed to mount {mount.host_path!r}: no such file or directory")
        source = str(Path(mount.host_path).resolve())
        is_hidden = any(Path(source).is_relative_to(path) for path in hidden)
        is_chosen = mount.of_node and source == mount.host_path  # no link led elsewhere meanwhile
        if is_hidden and not is_chosen and f"/pods/{pod_uid}/" not in source + "/":
            raise CreateError(f"failed to mount {mount.host_path!r}: pods may not see it")
        mounts.append({"source": source, "target": mount.container_path, "read_only": mount.read_only})
    return mounts


def etc_files(sandbox: SandboxConfig, ips: Sequence[str], config: ContainerConfig) -> dict[str, str]:
    """Those of /etc that are the pod's own, but for what a volume brings."""
    files = {"/etc/hostname": sandbox.hostname + "\n", "/etc/hosts": hosts_file(sandbox, ips)}
    files["/etc/resolv.conf"] = resolv_conf(sandbox)
    mounted = {mount.container_path for mount in config.mounts}
    return {path: text for path, text in files.items() if path not in mounted}


def hosts_file(sandbox: SandboxConfig, ips: Sequence[str]) -> str:
    """As the kubelet writes it."""
    lines = ["# Kubernetes-managed hosts file.", "127.0.0.1\tlocalhost"]
    lines += [
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
    ]
    lines += ["fe00::1\tip6-allnodes", "fe00::2\tip6-allrouters"]
    lines += [f"{ip}\t{sandbox.hostname}" for ip in ips]
    if sandbox.host_aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join((ip, *names)) for ip, names in sandbox.host_aliases]
    return "\n".join(lines) + "\n"


def resolv_conf(sandbox: SandboxConfig) -> str:
    lines = ["search " + " ".join(sandbox.dns_searches)] if sandbox.dns_searches else []
    lines += [f"nameserver {server}" for server in sandbox.dns_servers]
    lines += ["options " + " ".join(sandbox.dns_options)] if sandbox.dns_options else []
    return "".join(line + "\n" for line in lines)


def _capabilities(config: ContainerConfig) -> int:
    security = config.security
    try:
        return capabilities.container_mask(
            security.privileged, security.add_capabilities, security.drop_capabilities
        )
    except KeyError as error:
        raise CreateError(f"unknown capability {error.args[0]!r}") from None


def _no_new_privs(config: ContainerConfig, image: Image) -> bool:
    """Set-user-ID programs of the host are none of a pod's business; those of an image are."""
    return not config.security.privileged and (config.security.no_new_privs or not image.rootfs)


def identity_of(config: ContainerConfig, image: Image) -> Identity:
    security = config.security
    user, _, group = str(image.config.get("User") or "").partition(":")
    etc = Path(image.rootfs or "/") / "etc"
    uid, primary, home = _lookup_user(etc, user)
    if security.run_as_user is not None:
        uid, primary, home = _lookup_user(etc, str(security.run_as_user))
    gid = _lookup_group(etc, group) if group and security.run_as_user is None else primary
    if security.run_as_group is not None:
        gid = security.run_as_group
    return Identity(uid, gid, tuple(security.supplemental_groups), home)


def _lookup_user(etc: Path, user: str) -> tuple[int, int, str]:
    """(uid, primary gid, home) of a name or number; a number without an entry has group 0 and home /."""
    if not user:
        user = "0"
    for fields in _entries(etc / "passwd"):
        if len(fields) > 5 and user in (fields[0], fields[2]):
            return int(fields[2]), int(fields[3]), fields[5]
    if not user.isdigit():
        raise CreateError(f"unable to find user {user}: no matching entries in passwd file")
    return int(user), 0, "/root" if user == "0" else "/"


def _lookup_group(etc: Path, group: str) -> int:
    for fields in _entries(etc / "group"):
        if len(fields) > 2 and group in (fields[0], fields[2]):
            return int(fields[2])
    if not group.isdigit():
        raise CreateError(f"unable to find group {group}: no matching entries in group file")
    return int(group)


def _entries(path: Path) -> list[list[str]]:
    try:
        return [line.split(":") for line in path.read_text(errors="replace").splitlines()]
    except OSError:
        return []


def stop_signal(config: ContainerConfig, image_config: Mapping[str, Any]) -> int:
    """By name, `SIGRTMIN+3`, or number; SIGTERM when neither the pod nor the image says otherwise."""
    name = config.stop_signal or str(image_config.get("StopSignal") or "SIGTERM")
    try:
        number = _signal_number(name)
    except (KeyError, ValueError):
        number = 0
    if number not in signal.valid_signals():
        raise CreateError(f"unknown signal {name!r}")
    return number


def _signal_number(name: str) -> int:
    if name.isdigit():
        return int(name)
    base, sign, offset = name.partition("+" if "+" in name else "-")
    return signal.Signals[base] + int(f"{sign}{offset}" or 0)
