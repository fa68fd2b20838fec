"""matchConditions: CEL expressions that say whether a webhook or policy is asked at all.

All must be true. One that is false leaves the request alone, whatever the others say; one that fails decides by
failurePolicy: Fail refuses the request, Ignore leaves it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.plugin import forbidden
from control_plane.apiserver.admission.versions import Versions, View


class Conditions(Protocol):
    async def hold(
        self,
        conditions: Sequence[Mapping[str, str]],
        request: AdmissionRequest,
        versions: Versions,
        view: View,
        ignore_failure: bool,
    ) -> bool:
        """Whether all are true. Raises StatusError Forbidden for one that fails."""


class NoConditions:
    """For a server without an engine for expressions: none can be evaluated."""

    async def hold(
        self,
        conditions: Sequence[Mapping[str, str]],
        request: AdmissionRequest,
        versions: Versions,
        view: View,
        ignore_failure: bool,
    ) -> bool:
        if ignore_failure:
            return False
        names = ", ".join(each.get("name", "") for each in conditions)
        raise forbidden(request, f"this server cannot evaluate the match conditions {names}")
