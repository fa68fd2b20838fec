"""Security contexts of pods and containers, and what the operating system of a pod leaves of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation.mounts import relative_path
from control_plane.api.validation.registry import Errors, each_container, one_of, problems

_MAX_ID = 2**31 - 1
_GROUP_POLICIES = ("Merge", "Strict")
_OWNER_POLICIES = ("Always", "OnRootMismatch")
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROC_MOUNTS = ("Default", "Unmasked")
_SYSTEMS = ("linux", "windows")
_MAX_PROFILE_CHARS = 4095
_HOST_NAMESPACES = {"net": "hostNetwork", "ipc": "hostIPC"}
_IPC_SYSCTLS = ("fs.mqueue.", "kernel.shm", "kernel.msg", "kernel.sem")

_NOT_ON_LINUX = "windows options cannot be set for a linux pod"
_NOT_ON_WINDOWS = "cannot be set for a windows pod"
_LINUX_ONLY_OF_PODS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
)  # fmt: skip
_LINUX_ONLY_OF_SPECS = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
_LINUX_ONLY_OF_CONTAINERS = (
    "appArmorProfile", "capabilities", "seLinuxOptions", "seccompProfile", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip

Context = Mapping[str, Any]


def of_pod(path: str, context: Context, spec: Mapping[str, Any]) -> Errors:
    yield from _identifiers(path, context, ("runAsUser", "runAsGroup", "fsGroup"))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= _MAX_ID:
            yield errors.invalid_value(
                f"{path}.supplementalGroups[{index}]", group, names.in_range(0, _MAX_ID)
            )
    yield from _sysctls(f"{path}.sysctls", context.get("sysctls") or [], spec)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield errors.invalid_value(f"{path}.shareProcessNamespace", True, why)
    for key, known in (
        ("fsGroupChangePolicy", _OWNER_POLICIES),
        ("supplementalGroupsPolicy", _GROUP_POLICIES),
    ):
        if context.get(key) is not None:
            yield from one_of(f"{path}.{key}", context[key], known)
    yield from _profiles(path, context)


def of_container(path: str, context: Context, spec: Mapping[str, Any]) -> Errors:
    yield from _identifiers(path, context, ("runAsUser", "runAsGroup"))
    mount = context.get("procMount")
    if mount is not None:
        yield from one_of(f"{path}.procMount", mount, _PROC_MOUNTS)
        if mount == "Unmasked" and spec.get("hostUsers") is not False:
            why = "`hostUsers` must be false to use `Unmasked`"
            yield errors.invalid_value(f"{path}.procMount", mount, why)
    yield from _profiles(path, context)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield errors.invalid_value(path, dict(context), why)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield errors.invalid_value(path, dict(context), why)


def of_system(path: str, spec: Mapping[str, Any]) -> Errors:
    """What goes with `spec.os`, where that says anything."""
    system = spec.get("os")
    if system is None:
        return
    name = system.get("name", "")
    if not name:
        yield errors.required(f"{path}.os.name", "cannot be empty")
    elif name not in _SYSTEMS:
        yield errors.not_supported(f"{path}.os", name, _SYSTEMS)
    elif name == "linux":
        for where, context in _contexts(path, spec):
            if context.get("windowsOptions") is not None:
                yield errors.forbidden_field(f"{where}.windowsOptions", _NOT_ON_LINUX)
    else:
        yield from _only_linux_has(path, spec)


def _only_linux_has(path: str, spec: Mapping[str, Any]) -> Errors:
    for key in _LINUX_ONLY_OF_SPECS:
        if spec.get(key) is not None and spec[key] is not False:
            yield errors.forbidden_field(f"{path}.{key}", _NOT_ON_WINDOWS)
    for index, (where, context) in enumerate(_contexts(path, spec)):
        for key in _LINUX_ONLY_OF_CONTAINERS if index else _LINUX_ONLY_OF_PODS:
            if context.get(key) is not None:
                yield errors.forbidden_field(f"{where}.{key}", _NOT_ON_WINDOWS)


def _contexts(path: str, spec: Mapping[str, Any]) -> Iterator[tuple[str, Context]]:
    """The pod's, then those of its containers."""
    yield f"{path}.securityContext", spec.get("securityContext") or {}
    for where, container in each_container(path, spec):
        yield f"{where}.securityContext", container.get("securityContext") or {}


def _identifiers(path: str, context: Context, keys: Sequence[str]) -> Errors:
    for key in keys:
        value = context.get(key)
        if value is not None and not 0 <= value <= _MAX_ID:
            yield errors.invalid_value(f"{path}.{key}", value, names.in_range(0, _MAX_ID))


def _sysctls(path: str, sysctls: Sequence[Mapping[str, Any]], spec: Mapping[str, Any]) -> Errors:
    taken: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        where, name = f"{path}[{index}].name", sysctl.get("name", "")
        if not name:
            yield errors.required(where)
        elif found := names.sysctl(name):
            yield from problems(where, name, found)
        elif name in taken:
            yield errors.duplicate(where, name)
        taken.add(name)
        shared = _HOST_NAMESPACES.get(_namespace_of(name), "")
        if shared and spec.get(shared):
            why = f"may not be specified when '{shared}' is true"
            yield errors.invalid_value(f"{path}[{index}].name", name, why)


def _namespace_of(sysctl: str) -> str:
    plain = sysctl.replace("/", ".")
    if plain.startswith("net."):
        return "net"
    return "ipc" if plain.startswith(_IPC_SYSCTLS) else ""


def _profiles(path: str, context: Context) -> Errors:
    seccomp, apparmor = context.get("seccompProfile"), context.get("appArmorProfile")
    if seccomp is not None:
        yield from _profile(f"{path}.seccompProfile", seccomp, "seccompProfile", "seccomp")
        local = seccomp.get("localhostProfile")
        if seccomp.get("type") == "Localhost" and local is not None:
            yield from relative_path(f"{path}.seccompProfile.localhostProfile", local)
    if apparmor is not None:
        yield from _profile(f"{path}.appArmorProfile", apparmor, "appArmorProfile", "AppArmor")
        local = apparmor.get("localhostProfile")
        if apparmor.get("type") == "Localhost" and local is not None:
            yield from _apparmor_name(f"{path}.appArmorProfile.localhostProfile", local)


def _profile(path: str, profile: Mapping[str, Any], field: str, what: str) -> Errors:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        yield errors.required(f"{path}.type", f"type is required when {field} is set")
    elif kind not in _PROFILES:
        yield errors.not_supported(f"{path}.type", kind, _PROFILES)
    elif kind == "Localhost" and local is None:
        yield errors.required(f"{path}.localhostProfile", f"must be set when {what} type is Localhost")
    if kind != "Localhost" and local is not None:
        why = f"can only be set when {what} type is Localhost"
        yield errors.invalid_value(f"{path}.localhostProfile", local, why)


def _apparmor_name(path: str, local: str) -> Errors:
    if not local.strip():
        yield errors.required(path, "must be set when AppArmor type is Localhost")
    elif local != local.strip():
        yield errors.invalid_value(path, local, "must not be padded with whitespace")
    if len(local) > _MAX_PROFILE_CHARS:
        yield errors.too_long(path, _MAX_PROFILE_CHARS)
