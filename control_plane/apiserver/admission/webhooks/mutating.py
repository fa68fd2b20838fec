"""MutatingAdmissionWebhook: every webhook in turn, each shown what the last one left.

When one changes the object, the whole chain of mutating plugins runs a second time (`request.reinvocation`); then
those webhooks that ask for it are called again, if anything has changed since they were called: another webhook's
change after theirs, or a plugin's in the second run. There is no third.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import orjson

from control_plane.api import errors
from control_plane.api.decode import DecodeError
from control_plane.apiserver.admission import resource_rules
from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.plugin import Dependencies, Plugin
from control_plane.apiserver.admission.webhooks.asking import Asking
from control_plane.apiserver.admission.webhooks.configuration import Webhooks
from control_plane.apiserver.admission.webhooks.errors import CallFailed
from control_plane.apiserver.admission.webhooks.matching import Invocation
from control_plane.apiserver.admission.webhooks.measuring import FAIL_OPEN
from control_plane.apiserver.patch.errors import PatchError
from control_plane.apiserver.patch.json_patch import apply_json_patch
from store.component import logs

Object = dict[str, Any]

log = logs.get("apiserver.admission")


@dataclass(slots=True)
class _Calls:
    """What is kept between the two runs of one request."""

    invoked: set[str] = field(default_factory=set)  # webhooks that want to be called again
    again: set[str] = field(default_factory=set)  # of those, whom something has changed behind
    output: bytes = b""  # the object as the first run left it

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked = set()


class MutatingAdmissionWebhook(Plugin):
    name = "MutatingAdmissionWebhook"

    def __init__(self, dependencies: Dependencies) -> None:
        self._webhooks = Webhooks(dependencies.reader, "mutatingwebhookconfigurations")
        self._asking = Asking(dependencies)

    async def mutate(self, request: AdmissionRequest) -> None:
        webhooks = self._webhooks.current()
        if not webhooks or resource_rules.is_exempt(request):
            return
        again = request.reinvocation.running
        calls = request.reinvocation.memo.setdefault(self.name, _Calls())
        if again and calls.output != _snapshot(request.object):
            calls.changed()
        for index, webhook in enumerate(webhooks):
            invocation = await self._asking.matcher.match(webhook, request)
            if invocation is None or (again and webhook.uid not in calls.again):
                continue
            if await self._call(invocation, request, index):
                calls.changed()
                request.reinvocation.wanted = True
            if webhook.reinvoke:
                calls.invoked.add(webhook.uid)
        calls.output = _snapshot(request.object)

    async def _call(self, invocation: Invocation, request: AdmissionRequest, index: int) -> bool:
        """Whether the webhook changed the object. Raises StatusError."""
        webhook = invocation.webhook
        place = f"round_{int(request.reinvocation.running)}_index_{index}"
        try:
            answer = await self._asking.ask(invocation, request, mutating=True)
            changed = await _apply(self._asking, invocation, request, answer.patch)
        except CallFailed as error:
            if not webhook.ignore_failure:
                raise error.status() from error
            log.warning("failed calling webhook, failing open", webhook=webhook.name, reason=error)
            FAIL_OPEN.add((webhook.name, "admit"))
            request.annotations[f"failed-open.mutation.webhook.admission.k8s.io/{place}"] = webhook.name
            return False
        noted = {
            "configuration": webhook.configuration,
            "webhook": webhook.name,
            "mutated": changed,
        }
        request.annotations[f"mutation.webhook.admission.k8s.io/{place}"] = orjson.dumps(noted).decode()
        if changed:
            noted = {**noted, "patch": list(answer.patch), "patchType": "JSONPatch"}
            del noted["mutated"]
            request.annotations[f"patch.webhook.admission.k8s.io/{place}"] = orjson.dumps(noted).decode()
        return changed


def _snapshot(obj: Object | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


async def _apply(
    asking: Asking, invocation: Invocation, request: AdmissionRequest, patch: Sequence[Any]
) -> bool:
    """Raises StatusError for a patch that cannot be."""
    if not patch:
        return False
    if request.object is None:
        raise errors.internal(
            f"admission webhook {errors.quote(invocation.webhook.name)} attempted to modify the object, "
            "which is not supported for this operation"
        )
    before = _snapshot(request.object)
    shown = await asking.versions.shown(request.object, request, invocation.view)
    try:
        patched = apply_json_patch(shown, list(patch))
        if not isinstance(patched, dict):
            raise PatchError("the patched document is not an object")
        await asking.versions.put_back(deepcopy(patched), request, invocation.view)
    except (PatchError, DecodeError) as error:
        raise errors.internal(str(error)) from error
    return _snapshot(request.object) != before
