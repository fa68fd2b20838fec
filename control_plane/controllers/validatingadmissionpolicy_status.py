"""validatingadmissionpolicy-status: checks the expressions of new policies against the types they are about, and
writes what it finds into their status, for their author.

The types are what the apiserver publishes: discovery says which kind a resource is, OpenAPI what it looks like. The
compiler of expressions is loaded when the first policy is met.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import GVR
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named

POLICIES = GVR("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", namespaced=False)

Components = Mapping[str, Mapping[str, Any]]


class ValidatingAdmissionPolicyStatusController(Controller):
    name = "validatingadmissionpolicy-status"
    account = "validatingadmissionpolicy-status-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.policies = self.informer(POLICIES)
        self.reconcile_each(self.policies)

    async def reconcile(self, key: str) -> None:
        policy = named(self.policies, key)
        if policy is None or not _is_new(policy):
            return
        status: Object = {
            "observedGeneration": policy["metadata"].get("generation", 0),
            "typeChecking": {"expressionWarnings": await self._warnings(policy)},
        }
        applied = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": meta.name_of(policy)},
            "status": status,
        }
        try:
            await self.client.patch(
                POLICIES, meta.name_of(policy), applied, "", "apply", "status", self.name, force=True
            )
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _warnings(self, policy: Object) -> list[Object]:
        from control_plane.apiserver.admission.policies import type_checking

        types = []
        for group, version, resource in type_checking.resources_of(policy)[: type_checking.MAX_TYPES]:
            kind = await self._kind(group, version, resource)
            components = await self._components(group, version) if kind else {}
            schema = type_checking.kind_schema(components, group, version, kind)
            if schema is not None:
                type_ = type_checking.object_type(schema, components)
                types.append(type_checking.Checked(group, version, kind, type_))
        return type_checking.check(policy, types)

    async def _kind(self, group: str, version: str, resource: str) -> str:
        """ "" for a resource that is not served."""
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        found = await self._document(root)
        resources = found.get("resources", []) if found else []
        return next((each["kind"] for each in resources if each["name"] == resource), "")

    async def _components(self, group: str, version: str) -> Components:
        root = f"apis/{group}/{version}" if group else f"api/{version}"
        found = await self._document(f"/openapi/v3/{root}")
        components: Components = (found or {}).get("components", {}).get("schemas", {})
        return components

    async def _document(self, path: str) -> Object | None:
        try:
            answer = await self.client.request("GET", path, headers={"Accept": "application/json"})
        except StatusError as error:
            if is_not_found(error):
                return None
            raise
        found: Object = orjson.loads(answer.body)
        return found


def _is_new(policy: Object) -> bool:
    observed = (policy.get("status") or {}).get("observedGeneration") or 0
    return bool(policy["metadata"].get("generation", 0) > observed)
