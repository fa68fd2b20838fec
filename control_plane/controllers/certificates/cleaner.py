"""csrcleaner: requests are deleted an hour after their end, a day after they were made when nobody decided, and
when their certificate has run out."""

from __future__ import annotations

import base64
import binascii

from cryptography import x509

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import CERTIFICATE_SIGNING_REQUESTS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named

ENDED_S = 3600.0
PENDING_S = 24 * 3600.0
LOOK_AGAIN_S = 3600.0  # at the latest


def due_in_s(request: Object, now: float) -> float:
    """Until it may be deleted; 0 for now."""
    status = request.get("status") or {}
    certificate = status.get("certificate")
    dates = []
    if certificate and (expires := _expires(certificate)) is not None:
        dates.append(expires)
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ended = [conditions[each] for each in ("Denied", "Failed") if each in conditions]
    if certificate and "Approved" in conditions:
        ended.append(conditions["Approved"])
    for each in ended:
        at = meta.parse_time(each.get("lastUpdateTime") or each.get("lastTransitionTime"))
        dates.append((at if at is not None else now) + ENDED_S)
    if not ended:
        created = meta.parse_time(meta.metadata(request).get("creationTimestamp"))
        dates.append((created if created is not None else now) + PENDING_S)
    return max(min(dates) - now, 0.0)


def _expires(certificate: str) -> float | None:
    try:
        parsed = x509.load_pem_x509_certificate(base64.b64decode(certificate))
    except (ValueError, binascii.Error):
        return None
    return parsed.not_valid_after_utc.timestamp()


class CertificateCleaner(Controller):
    name = "certificatesigningrequest-cleaner"
    account = "certificate-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.informer(CERTIFICATE_SIGNING_REQUESTS)
        self.reconcile_each(self.requests)

    async def reconcile(self, key: str) -> float | None:
        request = named(self.requests, key)
        if request is None or meta.is_deleting(request):
            return None
        wait_s = due_in_s(request, self.context.now())
        if wait_s > 0:
            return min(wait_s, LOOK_AGAIN_S)
        try:
            await self.client.delete(CERTIFICATE_SIGNING_REQUESTS, key, uid=meta.uid_of(request))
        except StatusError as error:
            if not is_not_found(error):
                raise
        return None
