"""CertificateApproval, CertificateSigning, ClusterTrustBundleAttest, CertificateSubjectRestriction: who may do what
with a signer.

Being allowed to write the object is not enough: one must also be allowed the verb `approve`, `sign` or `attest` for
the signer's name or its whole domain.
"""

from __future__ import annotations

import base64

from cryptography import x509

from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, forbidden, is_resource
from control_plane.apiserver.authn.user import PRIVILEGED_GROUP, UserInfo
from control_plane.apiserver.authz.interface import Attributes, Authorizer, Decision

GROUP = "certificates.k8s.io"
RESOURCE = "certificatesigningrequests"
BUNDLES = "clustertrustbundles"
_WRITES = (Operation.CREATE, Operation.UPDATE)
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateApproval(Plugin):
    name = "CertificateApproval"
    concerns = frozenset({(GROUP, RESOURCE)})

    def __init__(self, dependencies: Dependencies) -> None:
        self._authorizer = dependencies.authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation is Operation.UPDATE and is_resource(request, GROUP, RESOURCE, "approval"):
            signer = _signer(request.old_object)
            if not await _may(self._authorizer, request.user, "approve", signer):
                raise forbidden(request, f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(Plugin):
    name = "CertificateSigning"
    concerns = frozenset({(GROUP, RESOURCE)})

    def __init__(self, dependencies: Dependencies) -> None:
        self._authorizer = dependencies.authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation is not Operation.UPDATE or not is_resource(request, GROUP, RESOURCE, "status"):
            return
        new, old = (((o or {}).get("status") or {}) for o in (request.object, request.old_object))
        if new.get("certificate") == old.get("certificate") and _failed(new) == _failed(old):
            return
        signer = _signer(request.old_object)
        if not await _may(self._authorizer, request.user, "sign", signer):
            raise forbidden(request, f'user not permitted to sign requests with signerName "{signer}"')


class ClusterTrustBundleAttest(Plugin):
    """Who writes a signer's bundle of trust anchors vouches for them."""

    name = "ClusterTrustBundleAttest"
    concerns = frozenset({(GROUP, BUNDLES)})

    def __init__(self, dependencies: Dependencies) -> None:
        self._authorizer = dependencies.authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation not in _WRITES or not is_resource(request, GROUP, BUNDLES):
            return
        signer = _signer(request.object)
        if request.old_object is not None and _signer(request.old_object) != signer:
            raise forbidden(request, "changing signerName is forbidden")
        if signer and not await _may(self._authorizer, request.user, "attest", signer):
            raise forbidden(request, f'user not permitted to attest for signerName "{signer}"')


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"
    concerns = frozenset({(GROUP, RESOURCE)})

    def __init__(self, dependencies: Dependencies) -> None:
        pass

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation is not Operation.CREATE or not is_resource(request, GROUP, RESOURCE):
            return
        if _signer(request.object) != CLIENT_SIGNER:
            return
        organizations = requested_organizations((request.object or {}).get("spec") or {})
        if organizations is None:
            raise forbidden(request, "unable to parse the certificate signing request")
        if PRIVILEGED_GROUP in organizations:
            raise forbidden(
                request, f"use of {CLIENT_SIGNER} signer with {PRIVILEGED_GROUP} group is not allowed"
            )


def requested_organizations(spec: Object) -> list[str] | None:
    """The organizations of the request's subject; None if it cannot be read."""
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
    except (ValueError, TypeError):
        return None
    names = request.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return [str(name.value) for name in names]


async def _may(authorizer: Authorizer, user: UserInfo, verb: str, signer: str) -> bool:
    """The signer by its full name, or `<domain>/*`."""
    for name in (signer, signer.partition("/")[0] + "/*"):
        decision, _ = await authorizer.authorize(Attributes(user, verb, GROUP, "*", "signers", name=name))
        if decision is Decision.ALLOW:
            return True
    return False


def _signer(request: Object | None) -> str:
    return str(((request or {}).get("spec") or {}).get("signerName") or "")


def _failed(status: Object) -> list[Object]:
    return [c for c in status.get("conditions") or () if c.get("type") == "Failed"]
