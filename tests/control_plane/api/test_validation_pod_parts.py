"""What kube-apiserver's own tests of pods refuse and take: volumes, security, names, nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api.judging import check
from tests.control_plane.api.pods import (
    C,
    V,
    claim_template,
    mounted,
    node_affinity,
    on,
    pod,
    projected,
    secured,
    volume,
)
from tests.control_plane.api.samples import container

Object = dict[str, Any]
TERM = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
SECRET_AT_A = {"secret": {"name": "s", "items": [{"key": "k", "path": "a"}]}}
NAME_AT_A = {"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}
VOLUMES: list[Any] = [
    pytest.param(volume(), [], id="nothing is an empty directory"),
    pytest.param(pod(volumes=[{"name": "v"}, {"name": "v"}]), ['spec.volumes[1].name: Duplicate value: "v"'], id="names"),
    pytest.param(pod(volumes=[{"name": "a.b"}]), ['spec.volumes[0].name: Invalid value: "a.b"'], id="name"),
    pytest.param(volume(hostPath={"path": "/a/../b"}), [f"{V}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"], id="host path upwards"),
    pytest.param(volume(hostPath={"path": "/", "type": "Odd"}), [f'{V}.hostPath.type: Unsupported value: "Odd"'], id="host path type"),
    pytest.param(volume(nfs={"server": "s", "path": "a"}), [f'{V}.nfs.path: Invalid value: "a": must be an absolute path'], id="nfs path"),
    pytest.param(volume(secret={"secretName": ""}), [f"{V}.secret.secretName: Required value"], id="secret"),
    pytest.param(volume(secret={"secretName": "s", "defaultMode": 0o1000}), [f"{V}.secret.defaultMode: Invalid value: 512"], id="mode"),
    pytest.param(
        volume(configMap={"name": "c", "items": [{"key": "k", "path": "/a"}]}),
        [f'{V}.configMap.items[0].path: Invalid value: "/a": must be a relative path'],
        id="absolute item",
    ),
    pytest.param(
        volume(configMap={"name": "c", "items": [{"key": "", "path": ""}]}),
        [f"{V}.configMap.items[0].key: Required value", f"{V}.configMap.items[0].path: Required value"],
        id="item of nothing",
    ),
    pytest.param(volume(downwardAPI={"items": [{"path": "a"}]}), [f"{V}.downwardAPI.items[0]: Required value: one of fieldRef"], id="no field"),
    pytest.param(
        volume(downwardAPI={"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}),
        [f"{V}.downwardAPI.items[0].resourceFieldRef.containerName: Required value"],
        id="whose resource",
    ),
    pytest.param(projected(), ["spec.volumes[0].projected.sources[0]: Required value: must specify a volume type"], id="projected nothing"),
    pytest.param(
        projected(secret={"name": "s"}, configMap={"name": "c"}),
        ["spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"],
        id="projected two",
    ),
    pytest.param(
        pod(volumes=[{"name": "v", "projected": {"sources": [SECRET_AT_A, {"downwardAPI": {"items": [NAME_AT_A]}}]}}]),
        ['spec.volumes[0].projected: Invalid value: "a": conflicting duplicate paths'],
        id="projected onto each other",
    ),
    pytest.param(
        pod(volumes=[{"name": "v", "projected": {"sources": [{"downwardAPI": {"items": [NAME_AT_A]}}, SECRET_AT_A]}}]),
        ['spec.volumes[0].projected: Invalid value: "s": conflicting duplicate paths'],
        id="a secret projected onto another",
    ),
    pytest.param(
        volume(configMap={"name": "c", "items": [{"key": "k", "path": "..data"}]}),
        [f"{V}.configMap.items[0].path: Invalid value: \"..data\": must not start with '..'"],
        id="a path of the volume's own",
    ),
    pytest.param(
        projected(serviceAccountToken={"path": "t", "expirationSeconds": 599}),
        ["spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599"],
        id="short token",
    ),
    pytest.param(projected(clusterTrustBundle={"name": "b", "path": "p"}), [], id="trust by name"),
    pytest.param(
        projected(clusterTrustBundle={"name": "b", "signerName": "a.b/c", "path": "p"}),
        ["spec.volumes[0].projected.sources[0].clusterTrustBundle: Invalid value"],
        id="trust by two names",
    ),
    pytest.param(
        projected(clusterTrustBundle={"path": ""}),
        [
            "spec.volumes[0].projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be",
            "spec.volumes[0].projected.sources[0].clusterTrustBundle.path: Required value",
        ],
        id="trust of nobody",
    ),
    pytest.param(claim_template(), [], id="ephemeral"),
    pytest.param(volume(ephemeral={}), [f"{V}.ephemeral.volumeClaimTemplate: Required value"], id="ephemeral of nothing"),
    pytest.param(claim_template(accessModes=[]), [f"{V}.ephemeral.volumeClaimTemplate.spec.accessModes: Required"], id="ephemeral modes"),
    pytest.param(claim_template(resources={}), [f"{V}.ephemeral.volumeClaimTemplate.spec.resources[storage]: Required"], id="ephemeral size"),
    pytest.param(volume(image={"reference": "r"}), [], id="image"),
    pytest.param(volume(image={"reference": "", "pullPolicy": "Odd"}), [f"{V}.image.reference: Required", f"{V}.image.pullPolicy: Unsupported"], id="no image"),
    pytest.param(volume(csi={"driver": "a_b"}), [f'{V}.csi.driver: Invalid value: "a_b"'], id="csi driver"),
    pytest.param(volume(csi={"driver": "d", "nodePublishSecretRef": {}}), [f"{V}.csi.nodePublishSecretRef.name: Required value"], id="csi secret"),
    pytest.param(mounted(mountPath=""), [f"{C}.volumeMounts[0].mountPath: Required value"], id="nowhere"),
    pytest.param(mounted(subPath="/a"), [f'{C}.volumeMounts.subPath: Invalid value: "/a": must be a relative path'], id="absolute part"),
    pytest.param(
        mounted(mountPropagation="Bidirectional"),
        [f"{C}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged"],
        id="propagation",
    ),
    pytest.param(mounted(readOnly=True, recursiveReadOnly="Enabled"), [], id="read only below"),
    pytest.param(
        mounted(recursiveReadOnly="IfPossible", mountPropagation="HostToContainer"),
        [
            f"{C}.volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
            f"{C}.volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None",
        ],
        id="read only below what is written",
    ),
    pytest.param(mounted(recursiveReadOnly="Maybe"), [f'{C}.volumeMounts[0].recursiveReadOnly: Unsupported value: "Maybe"'], id="read only maybe"),
]  # fmt: skip
USR1 = [container(lifecycle={"stopSignal": "SIGUSR1"})]
SECURITY: list[Any] = [
    pytest.param(pod(containers=USR1), [f"{C}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"], id="stop signal anywhere"),
    pytest.param(pod(containers=USR1, os={"name": "linux"}), [], id="stop signal"),
    pytest.param(pod(containers=[container(lifecycle={"stopSignal": "SIGRTMAX-14"})], os={"name": "linux"}), [], id="stop signal in real time"),
    pytest.param(pod(containers=[container(lifecycle={"stopSignal": "USR1"})], os={"name": "linux"}), [f'{C}.lifecycle.stopSignal: Unsupported value: "USR1": supported values: "SIGABRT", "SIGALRM"'], id="no stop signal"),
    pytest.param(pod(containers=USR1, os={"name": "windows"}), [f'{C}.lifecycle.stopSignal: Unsupported value: "SIGUSR1": supported values: "SIGKILL", "SIGTERM"'], id="no stop signal of windows"),
    pytest.param(pod(securityContext={"fsGroup": -1}), ["spec.securityContext.fsGroup: Invalid value: -1"], id="group"),
    pytest.param(pod(securityContext={"supplementalGroups": [0, -1]}), ["spec.securityContext.supplementalGroups[1]: Invalid value: -1"], id="groups"),
    pytest.param(pod(securityContext={"fsGroupChangePolicy": "Odd"}), ['spec.securityContext.fsGroupChangePolicy: Unsupported value: "Odd"'], id="change of group"),
    pytest.param(pod(securityContext={"supplementalGroupsPolicy": "Strict"}), [], id="groups of the image"),
    pytest.param(
        pod(hostNetwork=True, securityContext={"sysctls": [{"name": "net.a", "value": "1"}, {"name": "kernel.shm_x", "value": "1"}]}),
        ["spec.securityContext.sysctls[0].name: Invalid value: \"net.a\": may not be specified when 'hostNetwork' is true"],
        id="the host's sysctls",
    ),
    pytest.param(secured(runAsUser=-1), [f"{C}.securityContext.runAsUser: Invalid value: -1"], id="user"),
    pytest.param(
        secured(privileged=True, allowPrivilegeEscalation=False),
        [f"{C}.securityContext: Invalid value"],
        id="privileged without escalation",
    ),
    pytest.param(secured(procMount="Odd"), [f'{C}.securityContext.procMount: Unsupported value: "Odd"'], id="proc mount"),
    pytest.param(
        secured(procMount="Unmasked"), [f"{C}.securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false"], id="proc unmasked"
    ),
    pytest.param(pod(hostUsers=False, containers=[container(securityContext={"procMount": "Unmasked"})]), [], id="proc unmasked in a user namespace"),
    pytest.param(secured(seccompProfile={"type": ""}), [f"{C}.securityContext.seccompProfile.type: Required value: type is required"], id="seccomp of no type"),
    pytest.param(secured(seccompProfile={"type": "Localhost"}), [f"{C}.securityContext.seccompProfile.localhostProfile: Required value: must be set"], id="no local profile"),
    pytest.param(
        secured(seccompProfile={"type": "Unconfined", "localhostProfile": "a"}),
        [f'{C}.securityContext.seccompProfile.localhostProfile: Invalid value: "a": can only be set when seccomp type is Localhost'],
        id="local profile of another type",
    ),
    pytest.param(
        secured(seccompProfile={"type": "Localhost", "localhostProfile": "../a"}),
        [f"{C}.securityContext.seccompProfile.localhostProfile: Invalid value: \"../a\": must not contain '..'"],
        id="local profile upwards",
    ),
    pytest.param(secured(appArmorProfile={"type": "Odd"}), [f'{C}.securityContext.appArmorProfile.type: Unsupported value: "Odd"'], id="AppArmor"),
    pytest.param(
        pod(securityContext={"appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}}),
        ['spec.securityContext.appArmorProfile.localhostProfile: Invalid value: " a": must not be padded with whitespace'],
        id="AppArmor profile",
    ),
    pytest.param(on("linux"), [], id="linux"),
    pytest.param(on(""), ["spec.os.name: Required value: cannot be empty"], id="no system"),
    pytest.param(on("plan9"), ['spec.os: Unsupported value: "plan9": supported values: "linux", "windows"'], id="another system"),
    pytest.param(
        on("linux", securityContext={"windowsOptions": {}}, containers=[container(securityContext={"windowsOptions": {}})]),
        [
            "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
            f"{C}.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
        ],
        id="windows options on linux",
    ),
    pytest.param(
        on("windows", hostPID=True, securityContext={"runAsUser": 1}, containers=[container(securityContext={"privileged": True})]),
        [
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
            "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
            f"{C}.securityContext.privileged: Forbidden: cannot be set for a windows pod",
        ],
        id="linux options on windows",
    ),
]  # fmt: skip
REST: list[Any] = [
    pytest.param(pod(dnsPolicy="None"), ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"], id="no DNS"),
    pytest.param(pod(dnsPolicy="None", dnsConfig={"searches": ["a"]}), ["spec.dnsConfig.nameservers: Required value"], id="no name server"),
    pytest.param(pod(dnsConfig={"nameservers": ["1.1.1.1"] * 4}), ["spec.dnsConfig.nameservers: Invalid value"], id="too many name servers"),
    pytest.param(pod(dnsConfig={"searches": [f"s{n}" for n in range(33)]}), ["spec.dnsConfig.searches: Invalid value"], id="too many searches"),
    pytest.param(pod(dnsConfig={"searches": [".", "a_b.c.", "d"]}), [], id="searches"),
    pytest.param(pod(dnsConfig={"searches": ["a b"]}), ['spec.dnsConfig.searches[0]: Invalid value: "a b"'], id="a bad search"),
    pytest.param(pod(dnsConfig={"options": [{"value": "1"}]}), ["spec.dnsConfig.options[0]: Required value: must not be empty"], id="an option of no name"),
    pytest.param(pod(hostname="A"), ['spec.hostname: Invalid value: "A"'], id="host name"),
    pytest.param(pod(subdomain="a.b"), ['spec.subdomain: Invalid value: "a.b"'], id="subdomain"),
    pytest.param(pod(hostAliases=[{"ip": "a", "hostnames": ["A"]}]), ["spec.hostAliases[0].ip: Invalid", "spec.hostAliases[0].hostnames[0]: Invalid"], id="aliases"),
    pytest.param(pod(activeDeadlineSeconds=0), ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647"], id="deadline"),
    pytest.param(pod(tolerations=[{"operator": "Equal", "value": "x"}]), ["spec.tolerations[0].operator: Invalid"], id="toleration of no key"),
    pytest.param(pod(readinessGates=[{"conditionType": "a b"}]), ["spec.readinessGates[0].conditionType: Invalid"], id="gate"),
    pytest.param(node_affinity(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n"]}]), [], id="one node"),
    pytest.param(
        node_affinity(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n", "m"]}]),
        [f"{TERM}.matchFields[0].values: Required value: must be only one value when `operator` is 'In' or 'NotIn'"],
        id="one of two nodes",
    ),
    pytest.param(
        node_affinity(matchFields=[{"key": "metadata.uid", "operator": "Exists"}]),
        [f'{TERM}.matchFields[0].operator: Invalid value: "Exists"', f'{TERM}.matchFields[0].key: Invalid value: "metadata.uid"'],
        id="another field",
    ),
    pytest.param(
        node_affinity(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["A"]}]),
        [f'{TERM}.matchFields[0].values[0]: Invalid value: "A"'],
        id="no node's name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        pytest.param(*each.values, id=f"{area}: {each.id}")
        for area, cases in {"volumes": VOLUMES, "security": SECURITY, "rest": REST}.items()
        for each in cases
    ],
)
def test_pods(obj: Object, told: list[str]) -> None:
    check("pods", obj, told)
