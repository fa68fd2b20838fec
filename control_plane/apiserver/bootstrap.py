"""What must be there before a cluster is one: post-start hooks, each named, each idempotent.

A hook writes what is missing and leaves alone what is there; several apiservers may run the same one at once.
`/readyz` fails until all hooks have succeeded once. A hook that fails is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission.priority_classes import system_priority_classes
from control_plane.apiserver.authn import legacy_tokens
from control_plane.apiserver.authz.bootstrap.reconcile import ensure_default_policy
from control_plane.apiserver.core import Core
from control_plane.apiserver.storage.objects import AlsoFailed
from control_plane.apiserver.system_storage import SystemStorage
from store.client.errors import StoreError
from store.component import logs

RETRY_DELAY_S = 0.5
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")

Object = dict[str, Any]
Hook = Callable[[Core], Awaitable[None]]

log = logs.get("apiserver.bootstrap")


@dataclass(slots=True)
class PostStartHooks:
    hooks: Mapping[str, Hook]
    done: set[str] = field(default_factory=set)

    def checks(self) -> dict[str, Callable[[], str | None]]:
        return {f"poststarthook/{name}": self._check(name) for name in self.hooks}

    def _check(self, name: str) -> Callable[[], str | None]:
        return lambda: None if name in self.done else "not finished"

    async def run(self, core: Core) -> None:
        await core.feed.synced.wait()
        await asyncio.gather(*(self._run_one(core, name, hook) for name, hook in self.hooks.items()))

    async def _run_one(self, core: Core, name: str, hook: Hook) -> None:
        while True:
            try:
                await hook(core)
            except (StoreError, StatusError, AlsoFailed) as error:
                log.warning("post-start hook failed, trying again", hook=name, reason=error)
                await asyncio.sleep(RETRY_DELAY_S)
            else:
                self.done.add(name)
                return


async def ensure_all(core: Core, objects: Sequence[Object]) -> None:
    storage = SystemStorage(core)
    await asyncio.gather(*(storage.ensure(obj) for obj in objects))


async def system_namespaces(core: Core) -> None:
    await ensure_all(core, [namespace(name) for name in SYSTEM_NAMESPACES])


def namespace(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


async def default_roles(core: Core) -> None:
    await ensure_default_policy(SystemStorage(core))


async def priority_classes(core: Core) -> None:
    await ensure_all(core, system_priority_classes())


async def default_storage_class(core: Core) -> None:
    """So that a claim that names no class gets a volume. Who has a better default takes the mark from this one."""
    metadata = {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    }
    standard = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata,
        "provisioner": "balsa.dev/local-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
    await ensure_all(core, [standard])


async def token_tracking(core: Core) -> None:
    """Since when the use of tokens in Secrets is noted: who cleans up must know that."""
    metadata = {"name": legacy_tokens.TRACKING, "namespace": "kube-system"}
    data = {"since": legacy_tokens.day(core.clock())}
    await ensure_all(core, [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])


def authentication_config(client_ca_pem: str, request_header: Mapping[str, str]) -> Hook:
    """What aggregated servers need to know to trust what this server says of users."""

    async def hook(core: Core) -> None:
        data = {**({"client-ca-file": client_ca_pem} if client_ca_pem else {}), **request_header}
        metadata = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
        await ensure_all(
            core, [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}]
        )

    return hook
