"""Volumes of the cloud providers that Kubernetes once attached itself: which CSI driver attaches them today, and
under which handle. They count against that driver's limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import FORMER_ZONE, ZONE

UNKNOWN = "UNSPECIFIED"


class Place(NamedTuple):
    """Where a volume is attached, and as what."""

    driver: str
    handle: str


def _ebs_handle(source: Obj, labels: Mapping[str, str]) -> str:
    """`aws://zone/vol-1`, or the bare identity."""
    return str(source["volumeID"]).rpartition("/")[2]


def _gce_handle(source: Obj, labels: Mapping[str, str]) -> str:
    zone = labels.get(ZONE, labels.get(FORMER_ZONE, UNKNOWN))
    return f"projects/{UNKNOWN}/zones/{zone}/disks/{source['pdName']}"


def _named(field: str) -> Callable[[Obj, Mapping[str, str]], str]:
    return lambda source, labels: str(source[field])


# the source's field: the driver of today, and the handle there
SOURCES: dict[str, tuple[str, Callable[[Obj, Mapping[str, str]], str]]] = {
    "awsElasticBlockStore": ("ebs.csi.aws.com", _ebs_handle),
    "gcePersistentDisk": ("pd.csi.storage.gke.io", _gce_handle),
    "azureDisk": ("disk.csi.azure.com", _named("diskURI")),
    "cinder": ("cinder.csi.openstack.org", _named("volumeID")),
    "portworxVolume": ("pxd.portworx.com", _named("volumeID")),
}
PROVISIONERS = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
}


def place_of(volume: Obj) -> Place | None:
    """Of a PersistentVolume."""
    csi = volume["spec"].get("csi")
    if csi:
        return Place(csi["driver"], csi["volumeHandle"])
    return place_inline(volume["spec"], meta.labels(volume))


def place_inline(sources: Obj, labels: Mapping[str, str] | None = None) -> Place | None:
    """Of a volume that a pod names itself."""
    for field, (driver, handle) in SOURCES.items():
        source = sources.get(field)
        if source:
            return Place(driver, handle(source, labels or {}))
    return None
