"""MutatingAdmissionPolicy: each mutation of each policy in turn, on what the last one left.

Reinvocation is as with webhooks: what is changed makes the chain run once more, and then those policies that ask
for it are evaluated again if something has changed since.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import orjson

from control_plane.api.decode import DecodeError
from control_plane.api.errors import StatusError
from control_plane.apiserver import cel, patch_schema
from control_plane.apiserver.admission import resource_rules
from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, forbidden
from control_plane.apiserver.admission.policies import environment, params
from control_plane.apiserver.admission.policies.conditions import ConditionFailed, all_hold, namespace_for
from control_plane.apiserver.admission.policies.configuration import Binding, Policies, Policy
from control_plane.apiserver.admission.policies.expressions import PER_POLICY_LIMIT, Failed, with_variables
from control_plane.apiserver.admission.policies.matching import Matcher
from control_plane.apiserver.admission.policies.patches import (
    BadMutation,
    Mutation,
    compile_mutation,
    patched,
)
from control_plane.apiserver.admission.versions import Versions, View

Object = dict[str, Any]
Body = list[Mutation]


def compile_body(spec: Object, names: Any) -> Body:
    return [compile_mutation(each, names) for each in spec.get("mutations") or ()]


@dataclass(slots=True)
class _Calls:
    """What is kept between the two runs of one request."""

    invoked: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    output: bytes = b""

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked = set()


class MutatingAdmissionPolicy(Plugin):
    name = "MutatingAdmissionPolicy"

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader
        self._authorizer = dependencies.authorizer
        self._versions = Versions(dependencies.registry)
        self._matcher = Matcher(dependencies.reader, self._versions)
        self._policies: Policies[Body] = Policies(
            dependencies.reader,
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            compile_body,
        )

    async def mutate(self, request: AdmissionRequest) -> None:
        policies = self._policies.current()
        if not policies or resource_rules.is_exempt(request):
            return
        calls = request.reinvocation.memo.setdefault(self.name, _Calls())
        if request.reinvocation.running and calls.output != _snapshot(request.object):
            calls.changed()
        problems: list[str] = []
        for policy in policies:
            found = await self._apply(policy, request, calls)
            if not policy.ignore_failure:
                problems += found
        calls.output = _snapshot(request.object)
        if problems:
            raise denial(request, problems)

    async def _apply(self, policy: Policy[Body], request: AdmissionRequest, calls: _Calls) -> list[str]:
        """What went wrong."""
        try:
            view = await self._matcher.view(policy.match, request)
        except StatusError as error:
            return [_denied(policy, None, f"failed to configure policy: {error}")]
        if view is None:
            return []
        problems: list[str] = []
        for binding in policy.bindings:
            try:
                if not await self._matcher.applies(binding.match, request):
                    continue
                found = await params.collect(
                    policy.param_kind, binding.param_ref, request, self._reader, self._versions.registry
                )
            except (StatusError, params.BadParams) as error:
                problems.append(_denied(policy, binding, f"failed to configure binding: {error}"))
                continue
            for param in found:
                try:
                    await self._invoke(policy, binding, request, view, param, calls)
                except (ConditionFailed, Failed, BadMutation) as error:
                    problems.append(_denied(policy, binding, str(error)))
        return problems

    async def _invoke(
        self,
        policy: Policy[Body],
        binding: Binding,
        request: AdmissionRequest,
        view: View,
        param: Object | None,
        calls: _Calls,
    ) -> None:
        """Raises ConditionFailed, Failed, BadMutation."""
        metadata = (param or {}).get("metadata") or {}
        key = f"{policy.name}/{binding.name}/{metadata.get('namespace', '')}/{metadata.get('name', '')}"
        if request.object is None or not all_hold(
            policy.conditions, await self._values(request, view, param)
        ):
            return
        if request.reinvocation.running and key not in calls.again:
            return
        before = _snapshot(request.object)
        for mutation in policy.body:
            await self._mutate(policy, mutation, request, view, param)
        if _snapshot(request.object) != before:
            calls.changed()
            request.reinvocation.wanted = True
        if policy.reinvoke:
            calls.invoked.add(key)

    async def _mutate(
        self,
        policy: Policy[Body],
        mutation: Mutation,
        request: AdmissionRequest,
        view: View,
        param: Object | None,
    ) -> None:
        """Raises Failed, BadMutation."""
        budget = cel.Budget(PER_POLICY_LIMIT)
        values = with_variables(await self._values(request, view, param), policy.variables, budget)
        result = mutation.expression.evaluate(values, budget)
        schema = patch_schema.node_of(view.resource) if view.resource is not None else None
        shown = values["object"]
        try:
            changed = patched(shown, mutation.patch_type, result, schema)
            await self._versions.put_back(deepcopy(changed), request, view)
        except DecodeError as error:
            raise BadMutation(str(error)) from error

    async def _values(self, request: AdmissionRequest, view: View, param: Object | None) -> dict[str, Any]:
        namespace = await namespace_for(request, self._reader)
        return await environment.values(request, self._versions, view, namespace, self._authorizer, param)


def _snapshot(obj: Object | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def _denied(policy: Policy[Any], binding: Binding | None, message: str) -> str:
    if binding is None:
        return f"policy '{policy.name}' denied request: {message}"
    return f"policy '{policy.name}' with binding '{binding.name}' denied request: {message}"


def denial(request: AdmissionRequest, problems: list[str]) -> StatusError:
    error = forbidden(request, problems[0])
    error.message = problems[0]
    error.reason = "Invalid"
    error.details = {**(error.details or {}), "causes": [{"message": each} for each in problems]}
    return error
