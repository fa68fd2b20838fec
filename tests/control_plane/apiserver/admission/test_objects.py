"""Namespaces, nodes, storage, ingresses, certificates, owners, events."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.admission.plugins.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from control_plane.apiserver.admission.plugins.default_classes import DefaultIngressClass, DefaultStorageClass
from control_plane.apiserver.admission.plugins.event_rate_limit import EventRateLimit, Limit
from control_plane.apiserver.admission.plugins.namespace_auto_provision import NamespaceAutoProvision
from control_plane.apiserver.admission.plugins.namespace_lifecycle import NamespaceLifecycle
from control_plane.apiserver.admission.plugins.owner_references_permission_enforcement import (
    OwnerReferencesPermissionEnforcement,
)
from control_plane.apiserver.admission.plugins.persistent_volume_claim_resize import (
    PersistentVolumeClaimResize,
)
from control_plane.apiserver.admission.plugins.storage_object_in_use_protection import (
    StorageObjectInUseProtection,
)
from control_plane.apiserver.admission.plugins.taint_nodes_by_condition import TaintNodesByCondition
from tests.control_plane.apiserver.admission.helpers import (
    CREATE,
    DELETE,
    UPDATE,
    FakeAuthorizer,
    dependencies,
    request,
)
from tests.control_plane.apiserver.authn.fakes import FakeReader, Object, obj


class TestNamespaceLifecycle:
    def plugin(self) -> NamespaceLifecycle:
        going = obj("going", status={"phase": "Terminating"})
        reader = FakeReader(namespaces=[obj("ns", status={"phase": "Active"}), going])
        reader.live[("", "namespaces")] = [obj("new")]
        return NamespaceLifecycle(dependencies(reader))

    @pytest.mark.parametrize(
        ("asked", "refusal"),
        [
            pytest.param(request("pods", obj("p")), None, id="alive"),
            pytest.param(request("pods", obj("p"), namespace="new"), None, id="only in the store"),
            pytest.param(
                request("pods", obj("p"), namespace="none"), 'namespaces "none" not found', id="missing"
            ),
            pytest.param(
                request("pods", obj("p"), namespace="going"),
                'pods "p" is forbidden: unable to create new content in namespace going because it is being '
                "terminated",
                id="going",
            ),
            pytest.param(request("pods", obj("p"), UPDATE, namespace="going"), None, id="update while going"),
            pytest.param(
                request("pods", None, DELETE, namespace="going", name="p"), None, id="delete while going"
            ),
            pytest.param(request("nodes", obj("n"), namespace=""), None, id="cluster-scoped"),
            pytest.param(
                request("localsubjectaccessreviews.authorization.k8s.io", obj("x"), namespace="none"),
                None,
                id="review tells nothing",
            ),
            pytest.param(
                request("namespaces", None, DELETE, namespace="kube-system", name="kube-system"),
                'namespaces "kube-system" is forbidden: this namespace may not be deleted',
                id="immortal",
            ),
            pytest.param(request("namespaces", None, DELETE, namespace="ns", name="ns"), None, id="mortal"),
        ],
    )
    async def test_mutate(self, asked: Any, refusal: str | None) -> None:
        if refusal is None:
            await self.plugin().mutate(asked)
            return
        with pytest.raises(StatusError) as caught:
            await self.plugin().mutate(asked)
        assert caught.value.message == refusal

    async def test_the_cause_is_told(self) -> None:
        with pytest.raises(StatusError) as caught:
            await self.plugin().mutate(request("pods", obj("p"), namespace="going"))
        [cause] = caught.value.status()["details"]["causes"]
        assert cause["reason"] == "NamespaceTerminating"


async def test_namespace_auto_provision() -> None:
    class Creator:
        made: list[str] = []  # noqa: RUF012

        async def create(self, group: str, resource: str, obj: Object) -> Object:
            self.made.append(obj["metadata"]["name"])
            return obj

    creator = Creator()
    plugin = NamespaceAutoProvision(dependencies(FakeReader(namespaces=[obj("ns")]), creator=creator))
    await plugin.mutate(request("pods", obj("p")))
    await plugin.mutate(request("pods", obj("p"), namespace="new", dry_run=True))
    await plugin.mutate(request("pods", obj("p"), namespace="new"))
    assert creator.made == ["new"]


async def test_new_nodes_are_tainted() -> None:
    node = obj("n", spec={"taints": [{"key": "a", "effect": "NoExecute"}]})
    for _ in range(2):
        await TaintNodesByCondition(dependencies()).mutate(request("nodes", node, namespace=""))
        assert [t["key"] for t in node["spec"]["taints"]] == ["a", "node.kubernetes.io/not-ready"]


@pytest.mark.parametrize(
    ("resource", "finalizer"),
    [
        ("persistentvolumeclaims", "kubernetes.io/pvc-protection"),
        ("persistentvolumes", "kubernetes.io/pv-protection"),
        ("volumeattributesclasses.storage.k8s.io", "kubernetes.io/vac-protection"),
    ],
)
async def test_storage_objects_are_protected(resource: str, finalizer: str) -> None:
    made = obj("x", metadata={"finalizers": ["mine"]})
    for _ in range(2):
        await StorageObjectInUseProtection(dependencies()).mutate(request(resource, made))
        assert made["metadata"]["finalizers"] == ["mine", finalizer]


def storage_class(name: str, default: bool = False, created: str = "", **fields: Any) -> Object:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return obj(name, metadata={"annotations": annotations, "creationTimestamp": created}, **fields)


class TestClasses:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [({}, "newer"), ({"storageClassName": "mine"}, "mine"), ({"storageClassName": ""}, "")],
    )
    async def test_storage(self, spec: Any, expected: str) -> None:
        reader = FakeReader()
        older = storage_class("older", True, "2020-01-01T00:00:00Z")
        newer = storage_class("newer", True, "2021-01-01T00:00:00Z")
        reader.add("storageclasses", older, newer, storage_class("other"), group="storage.k8s.io")
        claim = obj("c", spec=dict(spec))
        await DefaultStorageClass(dependencies(reader)).mutate(request("persistentvolumeclaims", claim))
        assert claim["spec"]["storageClassName"] == expected

    async def test_no_default(self) -> None:
        claim = obj("c", spec={})
        await DefaultStorageClass(dependencies()).mutate(request("persistentvolumeclaims", claim))
        assert claim["spec"] == {}

    async def test_ingress(self) -> None:
        reader = FakeReader()
        annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
        default = obj("nginx", metadata={"annotations": annotations})
        reader.add("ingressclasses", default, group="networking.k8s.io")
        ingress = obj("i", spec={})
        await DefaultIngressClass(dependencies(reader)).mutate(
            request("ingresses.networking.k8s.io", ingress)
        )
        assert ingress["spec"]["ingressClassName"] == "nginx"
        old = obj("i", spec={}, metadata={"annotations": {"kubernetes.io/ingress.class": "x"}})
        await DefaultIngressClass(dependencies(reader)).mutate(request("ingresses.networking.k8s.io", old))
        assert old["spec"] == {}


class TestResize:
    def claim(self, size: str, storage: str = "grows", phase: str = "Bound") -> Object:
        resources = {"requests": {"storage": size}}
        return obj("c", spec={"resources": resources, "storageClassName": storage}, status={"phase": phase})

    @pytest.mark.parametrize(
        ("new", "storage", "phase", "message"),
        [
            ("2Gi", "grows", "Bound", None),
            ("1Gi", "fixed", "Pending", None),
            ("2Gi", "fixed", "Bound", "only dynamically provisioned pvc can be resized"),
            ("2Gi", "grows", "Pending", "Only bound persistent volume claims can be expanded"),
        ],
    )
    async def test_resize(self, new: str, storage: str, phase: str, message: str | None) -> None:
        reader = FakeReader()
        grows = storage_class("grows", allowVolumeExpansion=True)
        reader.add("storageclasses", grows, storage_class("fixed"), group="storage.k8s.io")
        old = self.claim("1Gi", storage, phase)
        asked = request("persistentvolumeclaims", self.claim(new, storage, phase), UPDATE, old=old)
        plugin = PersistentVolumeClaimResize(dependencies(reader))
        if message is None:
            await plugin.validate(asked)
        else:
            with pytest.raises(StatusError, match=message):
                await plugin.validate(asked)


CSRS = "certificatesigningrequests.certificates.k8s.io"


def csr(signer: str = "example.com/x", organization: str = "", **fields: Any) -> Object:
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")]
    if organization:
        names.append(x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    encoded = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    return obj("csr", spec={"signerName": signer, "request": encoded}, **fields)


class TestCertificates:
    @pytest.mark.parametrize(
        ("allowed", "passes"),
        [
            ("approve signers example.com/x", True),
            ("approve signers example.com/*", True),
            ("approve signers other.com/*", False),
            ("sign signers example.com/x", False),
        ],
    )
    async def test_approval(self, allowed: str, passes: bool) -> None:
        plugin = CertificateApproval(dependencies(authorizer=FakeAuthorizer(allowed)))
        asked = request(CSRS + "/approval", csr(), UPDATE, old=csr(), namespace="")
        if passes:
            await plugin.validate(asked)
        else:
            with pytest.raises(
                StatusError, match=r'not permitted to approve requests with signerName "example\.com/x"'
            ):
                await plugin.validate(asked)

    async def test_signing(self) -> None:
        signed = csr(status={"certificate": "x"})
        asked = request(CSRS + "/status", signed, UPDATE, old=csr(), namespace="")
        with pytest.raises(StatusError, match="not permitted to sign"):
            await CertificateSigning(dependencies()).validate(asked)
        may = dependencies(authorizer=FakeAuthorizer("sign signers example.com/x"))
        await CertificateSigning(may).validate(asked)
        other = request(CSRS + "/status", signed, UPDATE, old=signed, namespace="")
        await CertificateSigning(dependencies()).validate(other)

    @pytest.mark.parametrize(
        ("signer", "before", "operation", "refused"),
        [
            pytest.param("", None, CREATE, "", id="of no signer"),
            pytest.param("example.com/x", None, CREATE, "", id="may attest"),
            pytest.param(
                "other.com/x",
                None,
                CREATE,
                'user not permitted to attest for signerName "other.com/x"',
                id="may not",
            ),
            pytest.param(
                "other.com/x", "other.com/x", UPDATE, "user not permitted to attest", id="may not update"
            ),
            pytest.param(
                "example.com/x", "", UPDATE, "changing signerName is forbidden", id="another signer"
            ),
            pytest.param("other.com/x", "other.com/x", DELETE, "", id="deletion asks nobody"),
        ],
    )
    async def test_attestation(
        self, signer: str, before: str | None, operation: Operation, refused: str
    ) -> None:
        made = [
            obj("b", spec={"signerName": each}) if each is not None else None for each in (signer, before)
        ]
        asked = request(
            "clustertrustbundles.certificates.k8s.io", made[0], operation, old=made[1], namespace=""
        )
        plugin = ClusterTrustBundleAttest(
            dependencies(authorizer=FakeAuthorizer("attest signers example.com/x"))
        )
        if refused:
            with pytest.raises(StatusError, match=refused):
                await plugin.validate(asked)
        else:
            await plugin.validate(asked)

    @pytest.mark.parametrize(
        ("signer", "organization", "passes"),
        [
            ("kubernetes.io/kube-apiserver-client", "dev", True),
            ("kubernetes.io/kube-apiserver-client", "system:masters", False),
            ("example.com/x", "system:masters", True),
        ],
    )
    async def test_subject(self, signer: str, organization: str, passes: bool) -> None:
        asked = request(CSRS, csr(signer, organization), namespace="")
        plugin = CertificateSubjectRestriction(dependencies())
        if passes:
            await plugin.validate(asked)
        else:
            with pytest.raises(StatusError, match="signer with system:masters group is not allowed"):
                await plugin.validate(asked)


class TestOwners:
    OWNER: Any = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("owner", "allowed", "message"),
        [
            ({}, [], "cannot set an ownerRef on a resource you can't delete"),
            ({}, ["delete pods p"], None),
            ({"blockOwnerDeletion": True}, ["delete pods p"], "cannot set blockOwnerDeletion"),
            (
                {"blockOwnerDeletion": True},
                ["delete pods p", "update replicasets/finalizers rs"],
                None,
            ),
        ],
    )
    async def test_owners(self, owner: Any, allowed: list[str], message: str | None) -> None:
        known = {("apps", "ReplicaSet"): "replicasets"}
        plugin = OwnerReferencesPermissionEnforcement(
            dependencies(
                authorizer=FakeAuthorizer(*allowed),
                resource_of_kind=lambda group, kind: known.get((group, kind)),
            )
        )
        made = obj("p", metadata={"ownerReferences": [{**self.OWNER, **owner}]})
        asked = request("pods", made, UPDATE, old=obj("p"))
        if message is None:
            await plugin.validate(asked)
        else:
            with pytest.raises(StatusError, match=message):
                await plugin.validate(asked)

    async def test_unchanged_owners_need_nothing(self) -> None:
        made = obj("p", metadata={"ownerReferences": [self.OWNER]})
        plugin = OwnerReferencesPermissionEnforcement(dependencies())
        await plugin.validate(request("pods", made, UPDATE, old=made))


async def test_event_rate_limit() -> None:
    now_s = [0.0]
    plugin = EventRateLimit(dependencies(clock=lambda: now_s[0]), [Limit("Namespace", qps=1, burst=2)])
    for _ in range(2):
        await plugin.validate(request("events", obj("e")))
    with pytest.raises(StatusError, match="limit reached on type Namespace for key ns") as caught:
        await plugin.validate(request("events", obj("e")))
    assert caught.value.code == 429
    await plugin.validate(request("events", obj("e"), CREATE, namespace="other"))
    now_s[0] = 1.0
    await plugin.validate(request("events", obj("e")))
