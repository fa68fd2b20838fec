"""Every controller, in one place. A new one is a file and a line here."""

from __future__ import annotations

from control_plane.controllers.bootstrap_tokens import BootstrapSigner, TokenCleaner
from control_plane.controllers.certificates import (
    CertificateApprover,
    CertificateCleaner,
    CertificateSigner,
)
from control_plane.controllers.clusterrole_aggregation import ClusterRoleAggregationController
from control_plane.controllers.controller import Controller
from control_plane.controllers.cronjob import CronJobController
from control_plane.controllers.daemonset import DaemonSetController
from control_plane.controllers.deployment import DeploymentController
from control_plane.controllers.device_taint_eviction import DeviceTaintEvictionController
from control_plane.controllers.disruption import DisruptionController
from control_plane.controllers.endpoints import EndpointsController
from control_plane.controllers.endpointslice import EndpointSliceController
from control_plane.controllers.endpointslice_mirroring import EndpointSliceMirroringController
from control_plane.controllers.garbage_collector import GarbageCollector
from control_plane.controllers.job import JobController
from control_plane.controllers.legacy_token_cleaner import LegacyTokenCleaner
from control_plane.controllers.namespace import NamespaceController
from control_plane.controllers.node_ipam import NodeIpamController
from control_plane.controllers.node_lifecycle import NodeLifecycleController
from control_plane.controllers.pod_gc import PodGarbageCollector
from control_plane.controllers.podautoscaler import HorizontalPodAutoscalerController
from control_plane.controllers.replicaset import ReplicaSetController, ReplicationControllerController
from control_plane.controllers.resource_quota import ResourceQuotaController
from control_plane.controllers.resourceclaim import ResourceClaimController
from control_plane.controllers.root_ca import RootCAPublisher
from control_plane.controllers.service_cidr import ServiceCIDRController
from control_plane.controllers.serviceaccount import ServiceAccountController
from control_plane.controllers.serviceaccount_token import ServiceAccountTokenController
from control_plane.controllers.statefulset import StatefulSetController
from control_plane.controllers.storage_version_migrator import StorageVersionMigrator
from control_plane.controllers.taint_eviction import TaintEvictionController
from control_plane.controllers.ttl import TTLController
from control_plane.controllers.ttl_after_finished import TTLAfterFinishedController
from control_plane.controllers.validatingadmissionpolicy_status import (
    ValidatingAdmissionPolicyStatusController,
)
from control_plane.controllers.volumes import (
    AttachDetachController,
    ClaimProtectionController,
    EphemeralVolumeController,
    PersistentVolumeBinder,
    PersistentVolumeExpander,
    VolumeAttributesClassProtectionController,
    VolumeProtectionController,
)

CONTROLLERS: tuple[type[Controller], ...] = (
    ServiceAccountController,
    RootCAPublisher,
    NamespaceController,
    NodeLifecycleController,
    TaintEvictionController,
    EndpointsController,
    EndpointSliceController,
    TTLController,
    NodeIpamController,
    ServiceCIDRController,
    EndpointSliceMirroringController,
    ReplicaSetController,
    ReplicationControllerController,
    DeploymentController,
    DaemonSetController,
    StatefulSetController,
    JobController,
    CronJobController,
    HorizontalPodAutoscalerController,
    TTLAfterFinishedController,
    DisruptionController,
    GarbageCollector,
    PodGarbageCollector,
    ClusterRoleAggregationController,
    ValidatingAdmissionPolicyStatusController,
    ResourceQuotaController,
    PersistentVolumeBinder,
    PersistentVolumeExpander,
    AttachDetachController,
    EphemeralVolumeController,
    ResourceClaimController,
    DeviceTaintEvictionController,
    ClaimProtectionController,
    VolumeProtectionController,
    VolumeAttributesClassProtectionController,
    StorageVersionMigrator,
    CertificateApprover,
    CertificateSigner,
    CertificateCleaner,
    BootstrapSigner,
    TokenCleaner,
    ServiceAccountTokenController,
    LegacyTokenCleaner,
)


def enabled(selection: str) -> list[type[Controller]]:
    """As `--controllers`: `*` is all, `-name` takes one away, names alone are only those. Raises ValueError."""
    names = [each.strip() for each in selection.split(",") if each.strip()]
    known = {each.name for each in CONTROLLERS}
    unknown = [each for each in names if each != "*" and each.removeprefix("-") not in known]
    if unknown:
        raise ValueError(f"unknown controllers: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    every = "*" in names
    return [each for each in CONTROLLERS if f"-{each.name}" not in names and (every or each.name in names)]
