"""Sources of volumes, in pods and in persistent volumes: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api.judging import check, with_spec
from tests.control_plane.api.pods import volume

IQN = "iqn.2026-11.io.example:disk"
BYTE = "must be between 0 and 255, inclusive"
DISK = {"diskName": "d", "diskURI": "https://x.blob.core.windows.net/c/d.vhd"}
REFERENCE = {"name": "s", "namespace": "x"}
SAME: list[Any] = [  # in both
    pytest.param("hostPath", {"path": ""}, ["path: Required value"], id="host path"),
    pytest.param("gcePersistentDisk", {"pdName": "d", "partition": 256}, ["partition: Invalid value: 256: must be between 1 and 255, inclusive"], id="partition"),
    pytest.param("awsElasticBlockStore", {"partition": 1}, ["volumeID: Required value"], id="elastic block store"),
    pytest.param("nfs", {"server": "s", "path": ""}, ["path: Required value", 'path: Invalid value: "": must be an absolute path'], id="nfs"),
    pytest.param("iscsi", {"targetPortal": "p", "iqn": IQN, "lun": 256}, [f"lun: Invalid value: 256: {BYTE}"], id="iscsi unit"),
    pytest.param("iscsi", {"targetPortal": "p", "iqn": "iqn.x"}, ['iqn: Invalid value: "iqn.x": must be valid format'], id="iscsi name"),
    pytest.param("iscsi", {"targetPortal": "p", "iqn": "disk"}, ['iqn: Invalid value: "disk": must be valid format'], id="iscsi no name"),
    pytest.param("iscsi", {"targetPortal": "p", "iqn": f"naa.{'a' * 32}", "chapAuthSession": True}, ["secretRef: Required value"], id="iscsi without secret"),
    pytest.param("iscsi", {"targetPortal": "p", "iqn": f"eui.{'a' * 16}", "initiatorName": "eui.a"}, ['initiatorname: Invalid value: "eui.a"'], id="iscsi initiator"),
    pytest.param("fc", {}, ["targetWWNs: Required value: must specify either"], id="fibre channel to nowhere"),
    pytest.param("fc", {"targetWWNs": ["a"], "wwids": ["b"], "lun": 1}, ['targetWWNs: Invalid value: ["a"]: targetWWNs and wwids'], id="fibre channel twice"),
    pytest.param("fc", {"targetWWNs": ["a"]}, ["lun: Required value: lun is required if"], id="fibre channel without unit"),
    pytest.param("fc", {"targetWWNs": ["a"], "lun": -1}, [f"lun: Invalid value: -1: {BYTE}"], id="fibre channel unit"),
    pytest.param("rbd", {}, ["monitors: Required value", "image: Required value"], id="rbd"),
    pytest.param("cephfs", {}, ["monitors: Required value"], id="cephfs"),
    pytest.param("flexVolume", {"driver": "a/b", "options": {"A.kubernetes.io/x": "", "y": ""}}, ['options[A.kubernetes.io/x]: Invalid value: "A.kubernetes.io/x": kubernetes.io and'], id="flex volume"),
    pytest.param("quobyte", {"volume": "v"}, ["registry: Required value: must be a host:port pair"], id="quobyte without registry"),
    pytest.param("quobyte", {"volume": "v", "registry": "h:1,h,[::1]:2"}, ['registry: Invalid value: "h:1,h,[::1]:2": must be a host:port'], id="quobyte pairs"),
    pytest.param("quobyte", {"volume": "v", "registry": "h:1", "tenant": "t" * 65}, ["tenant: Required value: must be a UUID"], id="quobyte tenant"),
    pytest.param("azureDisk", {**DISK, "kind": "Managed"}, ["diskURI: Unsupported value"], id="azure disk elsewhere"),
    pytest.param("azureDisk", {**DISK, "kind": "Odd", "cachingMode": "All"}, ['kind: Unsupported value: "Odd"', 'cachingMode: Unsupported value: "All"'], id="azure disk of no kind"),
    pytest.param("azureDisk", {**DISK, "kind": "Shared"}, [], id="azure disk"),
    pytest.param("scaleIO", {}, ["gateway: Required value", "system: Required value", "volumeName: Required value"], id="scale io"),
    pytest.param("storageos", {"volumeName": "a.b", "volumeNamespace": "X"}, ['volumeName: Invalid value: "a.b"', 'volumeNamespace: Invalid value: "X"'], id="storage os"),
    pytest.param("flocker", {"datasetName": "a/b", "datasetUUID": "u"}, [": Invalid value: \"resource\": datasetName and", "datasetName: Invalid value: \"a/b\": must not contain '/'"], id="flocker"),
    pytest.param("flocker", {}, [": Required value: one of datasetName and datasetUUID is required"], id="flocker of nothing"),
    pytest.param("portworxVolume", {}, ["volumeID: Required value"], id="portworx"),
    pytest.param("csi", {"driver": "a" * 64, "volumeHandle": "h"}, ["driver: Too long: may not be more than 63 bytes"], id="csi driver"),
]  # fmt: skip
IN_PODS: list[Any] = [
    pytest.param("iscsi", {"targetPortal": "p", "iqn": "disk"}, ['iqn: Invalid value: "disk": must be valid format starting with iqn'], id="iscsi no name"),
    pytest.param("gitRepo", {"repository": "r", "directory": "/a/.."}, ['directory: Invalid value: "/a/..": must be a relative path', 'directory: Invalid value: "/a/..": must not contain'], id="git directory"),
    pytest.param("cinder", {"volumeID": "v", "secretRef": {}}, ["secretRef.name: Required value"], id="cinder"),
    pytest.param("csi", {"driver": "d", "nodePublishSecretRef": {}}, ["nodePublishSecretRef.name: Required value"], id="csi secret"),
]  # fmt: skip
PERSISTENT: list[Any] = [
    pytest.param("cinder", {"volumeID": "v", "secretRef": {"name": "s"}}, ["secretRef.namespace: Required value"], id="cinder"),
    pytest.param("azureFile", {"secretName": "s", "shareName": "s", "secretNamespace": ""}, ["secretNamespace: Required value"], id="azure file"),
    pytest.param("glusterfs", {"endpoints": "e", "path": "p", "endpointsNamespace": "A"}, ['endpointsNamespace: Invalid value: "A"'], id="gluster"),
    pytest.param("glusterfs", {"endpoints": "e", "path": "p", "endpointsNamespace": ""}, ['endpointsNamespace: Invalid value: "": if the'], id="gluster nowhere"),
    pytest.param("iscsi", {"targetPortal": "p" * 64, "iqn": IQN, "initiatorName": IQN}, ["targetportal: Invalid value"], id="iscsi portal"),
    pytest.param("iscsi", {"targetPortal": "p", "iqn": IQN, "secretRef": {}}, ["secretRef.name: Required value"], id="iscsi secret"),
    pytest.param("csi", {"driver": "d"}, ["volumeHandle: Required value"], id="csi handle"),
    pytest.param("csi", {"driver": "d", "volumeHandle": "h", "nodeExpandSecretRef": {"name": "A"}, "nodePublishSecretRef": REFERENCE}, ['nodeExpandSecretRef.name: Invalid value: "A"', "nodeExpandSecretRef.namespace: Required value"], id="csi secrets"),
    pytest.param("hostPath", {"path": "/a/../b"}, ["path: Invalid value: \"/a/../b\": must not contain '..'"], id="host path"),
]  # fmt: skip


def located(where: str, told: list[str]) -> list[str]:
    return [f"{where}{'' if each.startswith(':') else '.'}{each}" for each in told]


@pytest.mark.parametrize(("kind", "source", "told"), SAME + IN_PODS)
def test_in_a_pod(kind: str, source: dict[str, Any], told: list[str]) -> None:
    if kind == "csi":
        source = {key: value for key, value in source.items() if key != "volumeHandle"}
    check("pods", volume(**{kind: source}), located(f"spec.volumes[0].{kind}", told))


@pytest.mark.parametrize(("kind", "source", "told"), SAME + PERSISTENT)
def test_of_a_persistent_volume(kind: str, source: dict[str, Any], told: list[str]) -> None:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], kind: source}
    check("persistentvolumes", with_spec(**spec), located(f"spec.{kind}", told))
