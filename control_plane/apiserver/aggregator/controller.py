"""What keeps aggregation current: local APIServices registered, remote ones checked, their documents fetched.

Every apiserver runs it; several do no harm, since a condition is written only where it differs, by
compare-and-swap. It wakes when an APIService changes, or a Service or endpoint while there are remote ones, and
looks again at least every RESYNC_S.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from control_plane.api import errors, meta
from control_plane.api.discovery import Discovery
from control_plane.apiserver.aggregator import availability, documents, registration
from control_plane.apiserver.aggregator.availability import Verdict
from control_plane.apiserver.aggregator.documents import Fetcher, Known, NoDocument, OpenAPIAdditions
from control_plane.apiserver.aggregator.remote import (
    AGGREGATOR,
    Remote,
    RemoteClient,
    Unusable,
    parse,
    user_headers,
)
from control_plane.apiserver.core import Core
from control_plane.apiserver.system_storage import SystemStorage
from control_plane.apiserver.watch_cache.cache import ResourceCache
from store.client.errors import StoreError
from store.component import logs

RESYNC_S = 30.0
COALESCE_S = 0.1
RETRY_MIN_S, RETRY_MAX_S = 0.5, 30.0
CHECK_TIMEOUT_S = 5.0
CHECK_ATTEMPTS = 3
MAX_CHECKS_AT_ONCE = 8
DOCUMENTS_MAX_AGE_S = 60.0

Object = dict[str, Any]

log = logs.get("apiserver.aggregator")


@dataclass(slots=True)
class _State:
    """What is remembered of one remote between looks."""

    seen: bytes = b""  # what the last check was based on
    due_s: float = 0.0
    failures: int = 0
    fetched_s: float = float("-inf")


class Remotes:
    """The APIServices that others serve, by group and version; made again when one of them changes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._objects: Sequence[Object] = ()
        self._by_version: dict[tuple[str, str], Remote] = {}

    def current(self) -> dict[tuple[str, str], Remote]:
        objects = self._core.feed.cache(registration.GROUP, registration.RESOURCE).objects()
        if objects is not self._objects:
            found = [remote for each in objects if (remote := parse(each)) is not None]
            self._by_version = {(each.group, each.version): each for each in found}
            self._objects = objects
        return self._by_version


@dataclass(slots=True)
class Controller:
    core: Core
    remotes: Remotes
    client: RemoteClient
    discovery: Discovery
    openapi: OpenAPIAdditions
    _known: dict[str, Known] = field(default_factory=dict)
    _states: dict[str, _State] = field(default_factory=dict)

    async def register(self, core: Core) -> None:
        """A post-start hook: the built-in groups."""
        storage = SystemStorage(core)
        wanted = registration.builtin(core.registry)
        await asyncio.gather(*(storage.ensure(each) for each in wanted))

    async def run(self) -> None:
        await self.core.feed.synced.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_definitions())
            group.create_task(self._follow_services())

    # --- custom resources

    async def _follow_definitions(self) -> None:
        definitions = self.core.feed.cache("apiextensions.k8s.io", "customresourcedefinitions")
        services = self._cache(registration.GROUP, registration.RESOURCE)
        while True:
            marks = (definitions.changed_at, services.changed_at)
            try:
                await self._sync_definitions(definitions.objects())
            except (StoreError, errors.StatusError) as error:
                log.warning("cannot register custom API groups, trying again", reason=error)
                await asyncio.sleep(RETRY_MIN_S)
                continue
            if marks == (definitions.changed_at, services.changed_at):
                await _any_change((definitions, services), RESYNC_S)

    async def _sync_definitions(self, definitions: Sequence[Object]) -> None:
        storage = SystemStorage(self.core)
        wanted = registration.custom(definitions)
        for name, each in wanted.items():
            if name not in self._cache(registration.GROUP, registration.RESOURCE):
                await storage.ensure(each)
        for service in self._cache(registration.GROUP, registration.RESOURCE).objects():
            name = meta.name_of(service)
            if registration.is_continuous(service) and name not in wanted:
                try:
                    await storage.delete(registration.GROUP, registration.RESOURCE, "", name)
                except errors.StatusError as error:
                    if not errors.is_not_found(error):
                        raise

    # --- other servers

    async def _follow_services(self) -> None:
        while True:
            marks = self._marks()
            remotes = list(self.remotes.current().values())
            for name in self._states.keys() - {each.name for each in remotes}:
                self._states.pop(name)
                self._known.pop(name, None)
            gate = asyncio.Semaphore(MAX_CHECKS_AT_ONCE)
            await asyncio.gather(*(self._look(remote, gate) for remote in remotes))
            self._publish()
            await asyncio.sleep(COALESCE_S)
            if marks != self._marks():
                continue  # something has changed while we looked
            wait_s = min((each.due_s for each in self._states.values()), default=float("inf"))
            wait_s = min(max(wait_s - self.core.monotonic(), 0.0), RESYNC_S)
            await _any_change(self._watched(), wait_s)

    def _cache(self, group: str, resource: str) -> ResourceCache:
        return self.core.feed.cache(group, resource)

    def _marks(self) -> list[int]:
        return [cache.changed_at for cache in self._watched()]

    def _watched(self) -> tuple[ResourceCache, ...]:
        services = self._cache(registration.GROUP, registration.RESOURCE)
        if not self.remotes.current():
            return (services,)
        return (services, self._cache("", "services"), self._cache("discovery.k8s.io", "endpointslices"))

    async def _look(self, remote: Remote, gate: asyncio.Semaphore) -> None:
        """Check one remote when what it depends on has changed, or its time has come."""
        state = self._states.setdefault(remote.name, _State())
        service = self._cache("", "services").object(f"{remote.namespace}/{remote.service}")
        slices = self._slices(remote)
        seen = orjson.dumps([repr((remote.base_url, remote.ca_bundle, remote.insecure)), service, slices])
        if seen == state.seen and self.core.monotonic() < state.due_s:
            return
        async with gate:
            verdict = availability.by_service(remote, service, slices) or await self._ask(remote)
            written = await self._write(remote, verdict)
            failed = verdict.status != "True" or not written
            state.failures = state.failures + 1 if failed else 0
            delay_s = min(RETRY_MIN_S * 2 ** min(state.failures, 16), RETRY_MAX_S) if failed else RESYNC_S
            state.due_s = self.core.monotonic() + delay_s
            if not failed and (seen != state.seen or self._documents_are_old(state)):
                await self._fetch(remote, state)
            state.seen = seen

    def _slices(self, remote: Remote) -> list[Object]:
        return [
            each
            for each in self._cache("discovery.k8s.io", "endpointslices").objects(f"{remote.namespace}/")
            if meta.labels(each).get("kubernetes.io/service-name") == remote.service
        ]

    async def _ask(self, remote: Remote) -> Verdict:
        """Whether the server answers for its group version; one good answer of several suffices."""
        why = ""
        url = remote.base_url + remote.path
        for _ in range(CHECK_ATTEMPTS):
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    answer = await self.client.open(remote, "GET", remote.path, user_headers(AGGREGATOR))
                    answer.close()
            except TimeoutError:
                why = f"failing or missing response from {url}: context deadline exceeded"
            except (aiohttp.ClientError, OSError, Unusable) as error:
                why = f"failing or missing response from {url}: {error}"
            else:
                if 200 <= answer.status < 300:
                    return availability.PASSED
                why = f"failing or missing response from {url}: bad status from {url}: {answer.status}"
        return availability.failed_check(why)

    async def _write(self, remote: Remote, verdict: Verdict) -> bool:
        """Whether the verdict stands in the store."""
        storage = SystemStorage(self.core)
        try:
            stored = await storage.get(registration.GROUP, registration.RESOURCE, "", remote.name)
            if stored is None:
                return True
            changed = availability.with_condition(stored, verdict, meta.rfc3339(self.core.clock()))
            if changed is not None:
                await storage.update(registration.GROUP, registration.RESOURCE, changed)
                log.info("availability changed", apiservice=remote.name, reason=verdict.reason)
        except (StoreError, errors.StatusError) as error:
            log.info("availability not written, looking again", apiservice=remote.name, reason=error)
            return False
        return True

    def _documents_are_old(self, state: _State) -> bool:
        return self.core.monotonic() - state.fetched_s >= DOCUMENTS_MAX_AGE_S

    async def _fetch(self, remote: Remote, state: _State) -> None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                self._known[remote.name] = await Fetcher(self.client).fetch(remote)
        except (NoDocument, TimeoutError) as error:
            log.warning("no discovery of an aggregated server", apiservice=remote.name, reason=error)
        else:
            state.fetched_s = self.core.monotonic()

    def _publish(self) -> None:
        remotes = list(self.remotes.current().values())
        documents.publish(self.discovery, remotes, self._known, set(self.core.registry.groups()))
        self.openapi.change(remotes, self._known)


async def _any_change(caches: Sequence[ResourceCache], timeout_s: float) -> None:
    tasks = [asyncio.create_task(cache.wait(timeout_s)) for cache in caches]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
