"""Where a volume's data is: what pods (inline) and persistent volumes have in common.

Follows Kubernetes' validation of each source, kinds that no node can mount any more included: objects that name
them are still kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation.mounts import no_backsteps, relative_path
from control_plane.api.validation.registry import Errors, problems

Source = Mapping[str, Any]

_REQUIRED: dict[str, tuple[str, ...]] = {
    "awsElasticBlockStore": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "configMap": ("name",),
    "csi": ("driver",),
    "flexVolume": ("driver",),
    "gcePersistentDisk": ("pdName",),
    "gitRepo": ("repository",),
    "glusterfs": ("endpoints", "path"),
    "hostPath": ("path",),
    "iscsi": ("targetPortal", "iqn"),
    "local": ("path",),
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("volume",),
    "rbd": ("monitors", "image"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "secret": ("secretName",),
    "storageos": ("volumeName",),
    "vsphereVolume": ("volumePath",),
}
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_CACHING_MODES = ("None", "ReadOnly", "ReadWrite")
_DISK_KINDS = ("Dedicated", "Managed", "Shared")
_DISK_URIS = {  # by whether the disk is managed
    True: (
        "/subscriptions/",
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
    ),
    False: ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"),
}
_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([a-zA-Z0-9-.]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}
_MAX_ISCSI_NAME_CHARS = 64
_MAX_TENANT_CHARS = 64
_BYTE = names.in_range(0, 255)
_PAIR = "must be a host:port pair or multiple pairs separated by commas"
_PARTITION = names.in_range(1, 255)  # 0 stands for the whole disk
_MAX_DRIVER_CHARS = 63
_CSI_SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)
_RESERVED = (".kubernetes.io", ".k8s.io")


def source(path: str, kind: str, given: Source, volume: str | None = None) -> Errors:
    """`volume`: the name of the persistent volume that it belongs to; None in a pod."""
    for key in _REQUIRED.get(kind, ()):
        if not given.get(key):
            yield errors.required(f"{path}.{key}")
    check = _CHECKS.get(kind)
    if check is not None:
        yield from check(path, given, volume)


def _host_path(path: str, given: Source, _volume: str | None) -> Errors:
    yield from no_backsteps(f"{path}.path", given.get("path", ""))
    if given.get("type") not in (None, *_HOST_PATH_TYPES):
        yield errors.not_supported(f"{path}.type", given["type"], _HOST_PATH_TYPES)


def _local(path: str, given: Source, _volume: str | None) -> Errors:
    yield from no_backsteps(f"{path}.path", given.get("path", ""))


def _nfs(path: str, given: Source, _volume: str | None) -> Errors:
    if not given.get("path", "").startswith("/"):
        yield errors.invalid_value(f"{path}.path", given.get("path", ""), "must be an absolute path")


def _git_repo(path: str, given: Source, _volume: str | None) -> Errors:
    yield from relative_path(f"{path}.directory", given.get("directory", ""))


def _partition(path: str, given: Source, _volume: str | None) -> Errors:
    if not 0 <= given.get("partition", 0) <= 255:
        yield errors.invalid_value(f"{path}.partition", given["partition"], _PARTITION)


def _iscsi(path: str, given: Source, volume: str | None) -> Errors:
    initiator = given.get("initiatorName")
    if volume is not None and initiator is not None:
        portal = given.get("targetPortal", "")
        if len(f"{volume}:{portal}") > _MAX_ISCSI_NAME_CHARS:
            yield errors.invalid_value(
                f"{path}.targetportal",
                portal,
                "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
                "iscsi.initiatorName is specified.",
            )
    if given.get("iqn"):
        yield from _iscsi_name(f"{path}.iqn", given["iqn"], volume)
    if not 0 <= given.get("lun", 0) <= 255:
        yield errors.invalid_value(f"{path}.lun", given["lun"], _BYTE)
    secret = given.get("secretRef")
    if secret is None and (given.get("chapAuthDiscovery") or given.get("chapAuthSession")):
        yield errors.required(f"{path}.secretRef")
    if secret is not None and volume is not None and not secret.get("name"):
        yield errors.required(f"{path}.secretRef.name")
    if initiator is not None:
        yield from _iscsi_name(f"{path}.initiatorname", initiator, volume)


def _iscsi_name(path: str, name: str, volume: str | None) -> Errors:
    pattern = _ISCSI_NAMES.get(name[:3])
    if pattern is None:
        known = "" if volume is not None else " starting with iqn, eui, or naa"
        yield errors.invalid_value(path, name, f"must be valid format{known}")
    elif not pattern.search(name):
        yield errors.invalid_value(path, name, "must be valid format")


def _fibre_channel(path: str, given: Source, _volume: str | None) -> Errors:
    targets, ids, lun = given.get("targetWWNs") or [], given.get("wwids") or [], given.get("lun")
    if not targets and not ids:
        why = "must specify either targetWWNs or wwids, but not both"
        yield errors.required(f"{path}.targetWWNs", why)
    if targets and ids:
        why = "targetWWNs and wwids can not be specified simultaneously"
        yield errors.invalid_value(f"{path}.targetWWNs", targets, why)
    if targets and lun is None:
        yield errors.required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif targets and lun is not None and not 0 <= lun <= 255:
        yield errors.invalid_value(f"{path}.lun", lun, _BYTE)


def _flex_volume(path: str, given: Source, volume: str | None) -> Errors:
    for key in given.get("options") or ():
        if f".{key.partition('/')[0].lower()}".endswith(_RESERVED):
            why = "kubernetes.io and k8s.io namespaces are reserved"
            yield errors.invalid_value(f"{path}.options[{key}]", key, why)


def _secret(path: str, given: Source, volume: str | None) -> Errors:
    """That of a persistent volume says in which namespace it is."""
    secret = given.get("secretRef")
    if secret is not None:
        for key in ("name",) if volume is None else ("name", "namespace"):
            if not secret.get(key):
                yield errors.required(f"{path}.secretRef.{key}")


def _storage_os(path: str, given: Source, volume: str | None) -> Errors:
    for key in ("volumeName", "volumeNamespace"):
        if value := given.get(key):
            yield from problems(f"{path}.{key}", value, names.dns_label(value))
    yield from _secret(path, given, volume)


def _flocker(path: str, given: Source, _volume: str | None) -> Errors:
    name, uuid = given.get("datasetName", ""), given.get("datasetUUID")
    if not name and not uuid:
        yield errors.required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        why = "datasetName and datasetUUID can not be specified simultaneously"
        yield errors.invalid_value(path, "resource", why)
    if "/" in name:
        yield errors.invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def _quobyte(path: str, given: Source, _volume: str | None) -> Errors:
    registry = given.get("registry", "")
    if not registry:
        yield errors.required(f"{path}.registry", _PAIR)
    elif len(given.get("tenant", "")) > _MAX_TENANT_CHARS:
        why = "must be a UUID and may not exceed a length of 64 characters"
        yield errors.required(f"{path}.tenant", why)
    else:
        for pair in registry.split(","):
            if pair.count(":") != 1 and not re.fullmatch(r"\[[^]]*\]:[^:]*", pair):
                yield errors.invalid_value(f"{path}.registry", registry, _PAIR)


def _azure_disk(path: str, given: Source, _volume: str | None) -> Errors:
    kind, uri = given.get("kind"), given.get("diskURI", "")
    for key, known in (("cachingMode", _CACHING_MODES), ("kind", _DISK_KINDS)):
        if given.get(key) not in (None, *known):
            yield errors.not_supported(f"{path}.{key}", given[key], known)
    if kind is not None:
        prefix, form = _DISK_URIS[kind == "Managed"]
        if not uri.startswith(prefix):
            yield errors.not_supported(f"{path}.diskURI", uri, (form,))


def _azure_file(path: str, given: Source, volume: str | None) -> Errors:
    if volume is not None and given.get("secretNamespace") == "":
        yield errors.required(f"{path}.secretNamespace")


def _glusterfs(path: str, given: Source, volume: str | None) -> Errors:
    namespace = given.get("endpointsNamespace")
    if volume is None or namespace is None:
        return
    if not namespace:
        why = "if the endpointnamespace is set, it must be a valid namespace name"
        yield errors.invalid_value(f"{path}.endpointsNamespace", namespace, why)
    else:
        yield from problems(f"{path}.endpointsNamespace", namespace, names.dns_label(namespace))


def _csi(path: str, given: Source, volume: str | None) -> Errors:
    if driver := given.get("driver", ""):
        if len(driver) > _MAX_DRIVER_CHARS:
            yield errors.too_long(f"{path}.driver", _MAX_DRIVER_CHARS)
        yield from problems(f"{path}.driver", driver, names.dns_subdomain(driver.lower()))
    if volume is None:
        secret = given.get("nodePublishSecretRef")
        if secret is not None and not secret.get("name"):
            yield errors.required(f"{path}.nodePublishSecretRef.name")
        return
    if not given.get("volumeHandle"):
        yield errors.required(f"{path}.volumeHandle")
    for key in _CSI_SECRETS:
        if given.get(key) is not None:
            yield from _secret_reference(f"{path}.{key}", given[key])


def _secret_reference(path: str, reference: Source) -> Errors:
    for key, check in (("name", names.dns_subdomain), ("namespace", names.dns_label)):
        value = reference.get(key, "")
        if not value:
            yield errors.required(f"{path}.{key}")
        else:
            yield from problems(f"{path}.{key}", value, check(value))


_CHECKS: dict[str, Callable[[str, Source, str | None], Errors]] = {
    "awsElasticBlockStore": _partition,
    "azureDisk": _azure_disk,
    "azureFile": _azure_file,
    "cinder": _secret,
    "csi": _csi,
    "fc": _fibre_channel,
    "flexVolume": _flex_volume,
    "flocker": _flocker,
    "gcePersistentDisk": _partition,
    "gitRepo": _git_repo,
    "glusterfs": _glusterfs,
    "hostPath": _host_path,
    "iscsi": _iscsi,
    "local": _local,
    "nfs": _nfs,
    "quobyte": _quobyte,
    "storageos": _storage_os,
}
