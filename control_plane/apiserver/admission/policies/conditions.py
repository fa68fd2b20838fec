"""matchConditions by CEL, for policies and for webhooks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.admission import scoping
from control_plane.apiserver.admission.interface import AdmissionRequest, Reader
from control_plane.apiserver.admission.plugin import forbidden
from control_plane.apiserver.admission.policies import environment
from control_plane.apiserver.admission.policies.expressions import (
    MATCH_CONDITIONS_LIMIT,
    Expression,
    Failed,
    OutOfBudget,
    compile_one,
)
from control_plane.apiserver.admission.policies.names import known_names
from control_plane.apiserver.admission.versions import Versions, View
from control_plane.apiserver.authz.interface import Authorizer

MAX_COMPILED = 1024


class ConditionFailed(Exception):
    """Whether the conditions hold cannot be told."""


def all_hold(conditions: Sequence[Expression], values: Mapping[str, Any]) -> bool:
    """One that is false decides, even when another fails. Raises ConditionFailed."""
    budget = cel.Budget(MATCH_CONDITIONS_LIMIT)
    failures: list[str] = []
    for condition in conditions:
        try:
            if condition.evaluate(values, budget) is False:
                return False
        except OutOfBudget as error:
            raise ConditionFailed(str(error)) from error
        except Failed as error:
            failures.append(str(error))
    if failures:
        raise ConditionFailed(failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")
    return True


class WebhookConditions:
    """Those of webhooks; expressions are compiled once and kept."""

    def __init__(self, authorizer: Authorizer, reader: Reader) -> None:
        self._authorizer = authorizer
        self._reader = reader
        self._compiled: OrderedDict[str, Expression] = OrderedDict()

    async def hold(
        self,
        conditions: Sequence[Mapping[str, str]],
        request: AdmissionRequest,
        versions: Versions,
        view: View,
        ignore_failure: bool,
    ) -> bool:
        """Raises StatusError Forbidden."""
        expressions = [self._expression(each.get("expression", "")) for each in conditions]
        values = await environment.values(request, versions, view, None, self._authorizer)
        try:
            return all_hold(expressions, values)
        except ConditionFailed as error:
            if ignore_failure:
                return False
            raise forbidden(request, str(error)) from error

    def _expression(self, text: str) -> Expression:
        found = self._compiled.get(text)
        if found is None:
            found = self._compiled[text] = compile_condition(text)
            if len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
        return found


def compile_condition(text: str) -> Expression:
    """Of a webhook: it knows neither parameters nor the namespace."""
    names = known_names(params=False)
    del names["namespaceObject"]
    return compile_one(text, names, (cel.BOOL,))


async def namespace_for(request: AdmissionRequest, reader: Reader) -> dict[str, Any] | None:
    """The namespace that expressions see: none for a Namespace itself. Raises StatusError."""
    if (request.group, request.resource) == ("", "namespaces"):
        return None
    return await scoping.namespace_of(request, reader)
