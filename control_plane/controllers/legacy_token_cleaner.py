"""legacy-serviceaccount-token-cleaner: tokens in Secrets that Kubernetes before 1.24 made for each service account.

Those that nobody has used for long are marked invalid, and deleted when nobody has missed them for as long again.
Secrets that somebody made for an account stay, and so do those that a pod mounts. How long is
--legacy-service-account-token-clean-up-period; it counts from when the apiserver began to note uses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from enum import Enum
from typing import ClassVar

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.api.meta import Object
from control_plane.apiserver.authn.legacy_tokens import INVALID_SINCE, LAST_USED, TRACKING, day, day_s
from control_plane.client.gvr import CONFIGMAPS, PODS, SECRETS, SERVICE_ACCOUNTS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller
from control_plane.controllers.serviceaccount_token import NAME, TOKEN_TYPE

PERIOD_S = 24 * 3600.0
SWEEP = "sweep"


class Fate(Enum):
    KEEP = "keep"
    MARK = "mark"
    DELETE = "delete"


def is_made_by_kubernetes(secret: Object, account: Object | None) -> bool:
    """The account names it; one that somebody made is not named there."""
    named = (account or {}).get("secrets") or ()
    return any(each.get("name") == meta.name_of(secret) for each in named)


def fate(
    secret: Object, account: Object | None, mounted: bool, since: str, now: float, period_s: float
) -> Fate:
    tracked = day_s(since)
    if mounted or tracked is None or not is_made_by_kubernetes(secret, account):
        return Fate.KEEP
    used = day_s(meta.labels(secret).get(LAST_USED))
    created = meta.parse_time(meta.metadata(secret).get("creationTimestamp")) or now
    if max(tracked, used or 0.0, created) > now - period_s:
        return Fate.KEEP
    invalid = meta.labels(secret).get(INVALID_SINCE)
    if invalid is None or (invalid_s := day_s(invalid)) is None:
        return Fate.MARK
    return Fate.DELETE if invalid_s <= now - period_s else Fate.KEEP


def mounted_secrets(pods: Iterable[Object]) -> set[str]:
    return {
        f"{meta.namespace_of(pod)}/{volume['secret']['secretName']}"
        for pod in pods
        for volume in meta.nested(pod, "spec", "volumes", default=())
        if "secret" in volume and "secretName" in volume["secret"]
    }


class LegacyTokenCleaner(Controller):
    name = "legacy-serviceaccount-token-cleaner"
    account = "legacy-service-account-token-cleaner"
    workers: ClassVar[int] = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.accounts = self.informer(SERVICE_ACCOUNTS)
        self.pods = self.informer(PODS)
        self.secrets = context.informers.informer(SECRETS, field_selector=f"type={TOKEN_TYPE}")
        self.informers.append(self.secrets)
        self.queue.add(SWEEP)

    async def reconcile(self, key: str) -> float:
        since = await self._tracked_since()
        mounted = mounted_secrets(self.pods.list())
        now, period_s = self.context.now(), self.context.options.legacy_token_clean_up_period_s
        for secret in self.secrets.list():
            name = meta.annotations(secret).get(NAME, "")
            account = self.accounts.get(meta.namespace_of(secret), name)
            match fate(secret, account, meta.key_of(secret) in mounted, since, now, period_s):
                case Fate.MARK:
                    await self._try(self._mark(secret, now))
                case Fate.DELETE:
                    await self._try(self._delete(secret))
        return PERIOD_S

    async def _try(self, write: Awaitable[object]) -> None:
        """What has changed or gone meanwhile is judged again the next time."""
        try:
            await write
        except StatusError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise

    async def _tracked_since(self) -> str:
        try:
            found = await self.client.get(CONFIGMAPS, TRACKING, "kube-system")
        except StatusError as error:
            if not is_not_found(error):
                raise
            return ""
        return str(meta.nested(found, "data", "since", default=""))

    async def _mark(self, secret: Object, now: float) -> None:
        """A use in the meantime has changed the Secret: then this fails, and it is kept."""
        patch = {
            "metadata": {
                "uid": meta.uid_of(secret),
                "resourceVersion": meta.resource_version_of(secret),
                "labels": {INVALID_SINCE: day(now)},
            }
        }
        await self.client.patch(SECRETS, meta.name_of(secret), patch, meta.namespace_of(secret))

    async def _delete(self, secret: Object) -> None:
        await self.client.delete(
            SECRETS,
            meta.name_of(secret),
            meta.namespace_of(secret),
            uid=meta.uid_of(secret),
            resource_version=meta.resource_version_of(secret),
        )
