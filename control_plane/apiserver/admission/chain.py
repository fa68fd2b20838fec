"""The chain: every plugin, in kube-apiserver's order, switched on or off by name.

First all `mutate` in order, then (after validation) all `validate`. When a webhook or policy has changed the
object, all `mutate` once more. Quota comes last, since it charges what all others have let through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control_plane.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Kind
from control_plane.apiserver.admission.measuring import ADMIT, VALIDATE, Step
from control_plane.apiserver.admission.plugin import Dependencies, Plugin
from control_plane.apiserver.admission.plugins.always_pull_images import AlwaysPullImages
from control_plane.apiserver.admission.plugins.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from control_plane.apiserver.admission.plugins.default_classes import DefaultIngressClass, DefaultStorageClass
from control_plane.apiserver.admission.plugins.default_toleration_seconds import DefaultTolerationSeconds
from control_plane.apiserver.admission.plugins.device_admin_access import DeviceAdminAccess
from control_plane.apiserver.admission.plugins.event_rate_limit import EventRateLimit
from control_plane.apiserver.admission.plugins.extended_resource_toleration import ExtendedResourceToleration
from control_plane.apiserver.admission.plugins.limit_ranger import LimitRanger
from control_plane.apiserver.admission.plugins.namespace_auto_provision import NamespaceAutoProvision
from control_plane.apiserver.admission.plugins.namespace_lifecycle import NamespaceLifecycle
from control_plane.apiserver.admission.plugins.node_restriction import NodeRestriction
from control_plane.apiserver.admission.plugins.owner_references_permission_enforcement import (
    OwnerReferencesPermissionEnforcement,
)
from control_plane.apiserver.admission.plugins.persistent_volume_claim_resize import (
    PersistentVolumeClaimResize,
)
from control_plane.apiserver.admission.plugins.pod_node_selector import PodNodeSelector
from control_plane.apiserver.admission.plugins.pod_security import PodSecurity
from control_plane.apiserver.admission.plugins.priority import Priority
from control_plane.apiserver.admission.plugins.rbac_escalation import RBACEscalation
from control_plane.apiserver.admission.plugins.resource_quota import ResourceQuota
from control_plane.apiserver.admission.plugins.runtime_class import RuntimeClass
from control_plane.apiserver.admission.plugins.service_account import ServiceAccount
from control_plane.apiserver.admission.plugins.storage_object_in_use_protection import (
    StorageObjectInUseProtection,
)
from control_plane.apiserver.admission.plugins.taint_nodes_by_condition import TaintNodesByCondition
from control_plane.apiserver.admission.policies.mutating import MutatingAdmissionPolicy
from control_plane.apiserver.admission.policies.validating import ValidatingAdmissionPolicy
from control_plane.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from control_plane.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook

ON, OFF, ALWAYS = "on", "off", "always"

Factory = Callable[[Dependencies], AdmissionPlugin]

PLUGINS: tuple[tuple[Factory, str], ...] = (
    (NamespaceAutoProvision, OFF),
    (NamespaceLifecycle, ON),
    (LimitRanger, ON),
    (ServiceAccount, ON),
    (NodeRestriction, ON),
    (TaintNodesByCondition, ON),
    (AlwaysPullImages, OFF),
    (PodSecurity, ON),
    (PodNodeSelector, OFF),
    (Priority, ON),
    (DefaultTolerationSeconds, ON),
    (EventRateLimit, OFF),
    (ExtendedResourceToleration, OFF),
    (DefaultStorageClass, ON),
    (StorageObjectInUseProtection, ON),
    (OwnerReferencesPermissionEnforcement, OFF),
    (PersistentVolumeClaimResize, ON),
    (RuntimeClass, ON),
    (CertificateApproval, ON),
    (CertificateSigning, ON),
    (ClusterTrustBundleAttest, ON),
    (CertificateSubjectRestriction, ON),
    (DefaultIngressClass, ON),
    (RBACEscalation, ALWAYS),
    (DeviceAdminAccess, ALWAYS),
    (MutatingAdmissionPolicy, ON),
    (MutatingAdmissionWebhook, ON),
    (ValidatingAdmissionPolicy, ON),
    (ValidatingAdmissionWebhook, ON),
    (ResourceQuota, ON),
)


class UnknownPlugin(ValueError):
    """A flag names a plugin that there is not."""


class AdmissionChain:
    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        self._plugins = tuple(plugins)
        mutating = [(each.name, each.mutate, _concerns(each)) for each in plugins if _has(each, "mutate")]
        validating = [
            (each.name, each.validate, _concerns(each)) for each in plugins if _has(each, "validate")
        ]
        self._admit, self._validate = Step(ADMIT, mutating), Step(VALIDATE, validating)

    @property
    def names(self) -> list[str]:
        return [plugin.name for plugin in self._plugins]

    async def mutate(self, request: AdmissionRequest) -> None:
        await self._mutate(request)
        if request.reinvocation.wanted:
            request.reinvocation.running = True
            await self._mutate(request)

    async def _mutate(self, request: AdmissionRequest) -> None:
        await self._admit.run(request)

    async def validate(self, request: AdmissionRequest) -> None:
        await self._validate.run(request)


def build_admission(
    dependencies: Dependencies, enable: Sequence[str] = (), disable: Sequence[str] = ()
) -> AdmissionChain:
    """The default plugins, and those enabled, without those disabled. Raises UnknownPlugin."""
    known = {_name(factory) for factory, _ in PLUGINS}
    for name in (*enable, *disable):
        if name not in known:
            raise UnknownPlugin(f'enable-admission-plugins plugin "{name}" is unknown')
    both = sorted(set(enable) & set(disable))
    if both:
        raise UnknownPlugin(
            f"{', '.join(both)} in enable-admission-plugins and disable-admission-plugins overlapped"
        )
    chosen = [
        factory(dependencies)
        for factory, default in PLUGINS
        if default is ALWAYS
        or (_name(factory) not in disable and (default is ON or _name(factory) in enable))
    ]
    return AdmissionChain(chosen)


def _has(plugin: AdmissionPlugin, step: str) -> bool:
    """Whether the plugin does anything there."""
    return getattr(type(plugin), step, None) is not getattr(Plugin, step)


def _concerns(plugin: AdmissionPlugin) -> frozenset[Kind] | None:
    concerns: frozenset[Kind] | None = getattr(plugin, "concerns", None)
    return concerns


def _name(factory: Factory) -> str:
    name: str = getattr(factory, "name")  # noqa: B009 - a class attribute that a callable's type does not show
    return name
