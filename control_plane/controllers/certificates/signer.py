"""csrsigning: signs approved requests of the built-in signers with the cluster's authority."""

from __future__ import annotations

from certs.errors import CertsError
from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import CERTIFICATE_SIGNING_REQUESTS
from control_plane.controllers.certificates import request as requests
from control_plane.controllers.certificates import signing
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named

SIGNERS = (requests.CLIENT, requests.KUBELET_CLIENT, requests.KUBELET_SERVING, requests.LEGACY)


class CertificateSigner(Controller):
    name = "certificatesigningrequest-signing"
    account = "certificate-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.authority = context.options.signing_authority
        self.requests = self.informer(CERTIFICATE_SIGNING_REQUESTS)
        if self.authority is not None:
            self.reconcile_each(self.requests)

    async def reconcile(self, key: str) -> float | None:
        request = named(self.requests, key)
        if request is None or meta.is_deleting(request) or self.authority is None:
            return None
        if not requests.is_approved(request) or requests.is_done(request):
            return None
        if request["spec"].get("signerName") in SIGNERS:
            await self.client.update(CERTIFICATE_SIGNING_REQUESTS, self._answered(request), "status")
        return None

    def _answered(self, request: Object) -> Object:
        """With the certificate, or with the reason why there will be none."""
        assert self.authority is not None
        spec = request["spec"]
        try:
            subject = requests.subject_of(request)
            why = requests.refusal(spec["signerName"], subject, spec.get("usages") or ())
            if not why:
                longest_s = self.context.options.signing_duration_s
                certificate = signing.sign(request, self.authority, longest_s)
                return {**request, "status": {**request["status"], "certificate": certificate}}
        except (ValueError, CertsError) as error:
            why = str(error)
        return requests.with_condition(request, "Failed", "SignerValidationFailure", why, self.context.now())
