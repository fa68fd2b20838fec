"""csrapproving: a node agent may have a client certificate if whoever asks for it may ask for one.

That is asked of the API as a SubjectAccessReview in the requester's name: `selfnodeclient` for a node that renews
its own, `nodeclient` for a new node with a bootstrap token.
"""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS
from control_plane.controllers.certificates import request as requests
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named

SELF = "Auto approving self kubelet client certificate after SubjectAccessReview."
NEW = "Auto approving kubelet client certificate after SubjectAccessReview."


def permissions(request: Object) -> list[tuple[str, str]]:
    """(subresource that the requester must be allowed to create, what is said then), in the order of asking."""
    spec = request["spec"]
    if spec.get("signerName") != requests.KUBELET_CLIENT:
        return []
    try:
        subject = requests.subject_of(request)
    except ValueError:
        return []  # the signer says so
    if requests.refusal(requests.KUBELET_CLIENT, subject, spec.get("usages") or ()):
        return []
    own = [("selfnodeclient", SELF)] if spec.get("username") == subject.common_name else []
    return [*own, ("nodeclient", NEW)]


class CertificateApprover(Controller):
    name = "certificatesigningrequest-approving"
    account = "certificate-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.informer(CERTIFICATE_SIGNING_REQUESTS)
        self.reconcile_each(self.requests)

    async def reconcile(self, key: str) -> float | None:
        request = named(self.requests, key)
        if request is None or meta.is_deleting(request) or requests.is_decided(request):
            return None
        for subresource, message in permissions(request):
            if await self._may(request, subresource):
                approved = requests.with_condition(
                    request, "Approved", "AutoApproved", message, self.context.now()
                )
                await self.client.update(CERTIFICATE_SIGNING_REQUESTS, approved, "approval")
                return None
        return None

    async def _may(self, request: Object, subresource: str) -> bool:
        spec = request["spec"]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": spec.get("username", ""),
                "uid": spec.get("uid", ""),
                "groups": spec.get("groups") or [],
                "extra": spec.get("extra") or {},
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "subresource": subresource,
                    "verb": "create",
                    "version": "*",
                },
            },
        }
        answer = await self.client.create(SUBJECT_ACCESS_REVIEWS, review)
        return bool(meta.nested(answer, "status", "allowed", default=False))
