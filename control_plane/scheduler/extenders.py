"""Extenders: programs elsewhere that are asked over HTTP about the nodes that a pod fits on, as kube-scheduler asks
them (KEP-1819, kube-scheduler/extender/v1).

    filter       Pod + Nodes or NodeNames     -> which of them do, and why the others do not
    prioritize   Pod + Nodes or NodeNames     -> a score from 0 to 10 for each, times the extender's weight
    preempt      Pod + victims by node        -> the victims it agrees with, of some of the nodes
    bind         PodName, PodNamespace, PodUID, Node

They are asked before the cycle that decides: that cycle then sees the cluster as it is by then, and takes only
nodes that all of them let through. An extender that is `ignorable` may fail without keeping pods from being
scheduled; scores that cannot be had are left out, as upstream.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from control_plane.client.types import Obj
from control_plane.scheduler.framework.interface import MAX_NODE_SCORE
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.preemption import Candidate
from store.component import logs

MAX_PRIORITY = 10
DEFAULT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024
_KNOWN = {
    "urlPrefix",
    "filterVerb",
    "prioritizeVerb",
    "bindVerb",
    "preemptVerb",
    "weight",
    "enableHTTPS",
    "tlsConfig",
    "httpTimeout",
    "nodeCacheCapable",
    "managedResources",
    "ignorable",
}

log = logs.get("scheduler")


class ExtenderError(Exception):
    """It did not answer, or answered that it failed."""


@dataclass(frozen=True, slots=True)
class ExtenderConfig:
    url: str
    filter_verb: str = ""
    prioritize_verb: str = ""
    bind_verb: str = ""
    preempt_verb: str = ""
    weight: int = 1
    timeout_s: float = DEFAULT_TIMEOUT_S
    node_cache_capable: bool = False
    managed: frozenset[str] = frozenset()
    ignored_by_scheduler: frozenset[str] = frozenset()
    ignorable: bool = False
    tls: Mapping[str, Any] = field(default_factory=dict)


def parse(document: Obj, duration_s: Any) -> ExtenderConfig:
    """`duration_s` reads a Go duration. Raises ValueError."""
    if unknown := sorted(set(document) - _KNOWN):
        raise ValueError(f"extenders: unknown field {unknown[0]!r}")
    if not document.get("urlPrefix"):
        raise ValueError("extenders: urlPrefix is needed")
    weight = int(document.get("weight") or 0)
    if document.get("prioritizeVerb") and weight <= 0:
        raise ValueError("extenders: weight of an extender that prioritizes must be positive")
    managed = document.get("managedResources") or ()
    timeout = document.get("httpTimeout")
    return ExtenderConfig(
        url=document["urlPrefix"].rstrip("/"),
        filter_verb=document.get("filterVerb") or "",
        prioritize_verb=document.get("prioritizeVerb") or "",
        bind_verb=document.get("bindVerb") or "",
        preempt_verb=document.get("preemptVerb") or "",
        weight=weight or 1,
        timeout_s=duration_s(timeout) if timeout else DEFAULT_TIMEOUT_S,
        node_cache_capable=bool(document.get("nodeCacheCapable")),
        managed=frozenset(each["name"] for each in managed),
        ignored_by_scheduler=frozenset(each["name"] for each in managed if each.get("ignoredByScheduler")),
        ignorable=bool(document.get("ignorable")),
        tls=document.get("tlsConfig") or {},
    )


@dataclass(slots=True)
class Advice:
    """What all extenders together say: the nodes left, the reasons of the others, and scores to add."""

    names: list[str]
    failed: dict[str, str] = field(default_factory=dict)
    unresolvable: dict[str, str] = field(default_factory=dict)
    scores: dict[str, int] = field(default_factory=dict)


class Extender:
    def __init__(self, config: ExtenderConfig) -> None:
        self.config = config
        self._session: aiohttp.ClientSession | None = None

    def is_interested(self, pod: PodInfo) -> bool:
        return not self.config.managed or bool(self.config.managed & _resources(pod.pod))

    async def filter(self, pod: PodInfo, nodes: Sequence[NodeInfo], advice: Advice) -> None:
        """Takes away from the advice what does not do. Raises ExtenderError."""
        answer = await self._ask(self.config.filter_verb, self._arguments(pod, nodes))
        if answer.get("error"):
            raise ExtenderError(str(answer["error"]))
        names = answer.get("nodenames")
        if names is None:
            names = [each["metadata"]["name"] for each in (answer.get("nodes") or {}).get("items") or ()]
        left = set(names)
        failed: Mapping[str, str] = answer.get("failednodes") or {}
        hopeless: Mapping[str, str] = answer.get("failedandunresolvablenodes") or {}
        for node in nodes:
            if node.name in hopeless:
                advice.unresolvable[node.name] = hopeless[node.name]
            elif node.name not in left:
                advice.failed[node.name] = (
                    failed.get(node.name) or f"node(s) refused by extender {self.config.url}"
                )
        gone = advice.failed.keys() | advice.unresolvable.keys()
        advice.names = [name for name in advice.names if name not in gone]

    async def prioritize(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> dict[str, int]:
        """Raises ExtenderError."""
        answer = await self._ask(self.config.prioritize_verb, self._arguments(pod, nodes))
        scale = self.config.weight * (MAX_NODE_SCORE // MAX_PRIORITY)
        return {
            each["host"]: int(each.get("score") or 0) * scale
            for each in map(_lower, answer.get("items") or ())
        }

    async def preempt(self, pod: PodInfo, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that it lets stand, with the victims that it names. Raises ExtenderError."""
        answer = await self._ask(self.config.preempt_verb, self._victims(pod, candidates))
        named: Mapping[str, Obj] = answer.get("nodenametometavictims") or {}
        asked = {each.node_name: each for each in candidates}
        found: list[Candidate] = []
        for node_name, fields in named.items():
            said = _lower(fields or {})
            uids = {_lower(each).get("uid") for each in said.get("pods") or ()}
            proposed = asked[node_name].victims if node_name in asked else ()
            victims = [victim for victim in proposed if victim.uid in uids]
            if len(victims) < len(uids) or not victims:
                if self.config.ignorable and not uids:
                    continue
                raise ExtenderError(f"{self.config.url}: victims on node {node_name!r} that are none")
            found.append(Candidate(node_name, tuple(victims), int(said.get("numpdbviolations") or 0)))
        return found

    async def bind(self, pod: PodInfo, node_name: str) -> None:
        """Raises ExtenderError."""
        body = {"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid, "Node": node_name}
        answer = await self._ask(self.config.bind_verb, body)
        if answer.get("error"):
            raise ExtenderError(str(answer["error"]))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _arguments(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Obj:
        if self.config.node_cache_capable:
            return {"Pod": pod.pod, "Nodes": None, "NodeNames": [node.name for node in nodes]}
        items = [node.node for node in nodes]
        return {"Pod": pod.pod, "Nodes": {"metadata": {}, "items": items}, "NodeNames": None}

    def _victims(self, pod: PodInfo, candidates: Sequence[Candidate]) -> Obj:
        whole = not self.config.node_cache_capable
        by_node = {
            each.node_name: {
                "Pods": [victim.pod if whole else {"UID": victim.uid} for victim in each.victims],
                "NumPDBViolations": each.violations,
            }
            for each in candidates
        }
        return {
            "Pod": pod.pod,
            "NodeNameToVictims": by_node if whole else None,
            "NodeNameToMetaVictims": None if whole else by_node,
        }

    async def _ask(self, verb: str, body: Obj) -> Obj:
        where = f"{self.config.url}/{verb.lstrip('/')}"
        headers = {"Content-Type": "application/json"}
        try:
            async with self._opened().post(where, data=orjson.dumps(body), headers=headers) as response:
                content = await response.content.read(MAX_ANSWER_BYTES)
                if response.status != 200:
                    raise ExtenderError(f"{where}: HTTP {response.status}")
                answer = orjson.loads(content)
        except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError) as error:
            raise ExtenderError(f"{where}: {error or type(error).__name__}") from error
        return {"items": answer} if isinstance(answer, list) else _lower(answer or {})

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self.config.timeout_s)
            connector = aiohttp.TCPConnector(ssl=_ssl_context(self.config.tls))
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session


class Extenders:
    """All of a scheduler's."""

    def __init__(self, configs: Sequence[ExtenderConfig] = ()) -> None:
        self._extenders = [Extender(each) for each in configs]

    def __bool__(self) -> bool:
        return bool(self._extenders)

    def interested(self, pod: PodInfo) -> list[Extender]:
        return [each for each in self._extenders if each.is_interested(pod)]

    async def advise(self, pod: PodInfo, nodes: Mapping[str, NodeInfo]) -> Advice:
        """Of nodes that are feasible otherwise. Raises ExtenderError."""
        advice = Advice(list(nodes))
        interested = self.interested(pod)
        for extender in interested:
            if not extender.config.filter_verb or not advice.names:
                continue
            try:
                await extender.filter(pod, [nodes[name] for name in advice.names], advice)
            except ExtenderError as error:
                if not extender.config.ignorable:
                    raise
                log.warning("extender skipped", error=str(error))
        left = [nodes[name] for name in advice.names]
        scoring = [each for each in interested if each.config.prioritize_verb]
        answers = await asyncio.gather(
            *(each.prioritize(pod, left) for each in scoring), return_exceptions=True
        )
        for answer in answers if left else ():
            if isinstance(answer, BaseException):
                log.warning("extender's scores left out", error=str(answer))
                continue
            for name, score in answer.items():
                advice.scores[name] = advice.scores.get(name, 0) + score
        return advice

    async def review(self, pod: PodInfo, candidates: Sequence[Candidate]) -> list[Candidate]:
        """What all that have a say in preemption leave of it, one after the other. Raises ExtenderError."""
        left = list(candidates)
        for extender in self.reviewers(pod):
            if not left:
                break
            try:
                left = await extender.preempt(pod, left)
            except ExtenderError as error:
                if not extender.config.ignorable:
                    raise
                log.warning("extender skipped", error=str(error))
        return left

    def reviewers(self, pod: PodInfo) -> list[Extender]:
        return [each for each in self.interested(pod) if each.config.preempt_verb]

    def binder(self, pod: PodInfo) -> Extender | None:
        return next((each for each in self.interested(pod) if each.config.bind_verb), None)

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._extenders))


def _lower(answer: Mapping[str, Any]) -> Obj:
    """Go reads field names in any case, so extenders write them in any."""
    return {key.lower(): value for key, value in answer.items()}


def _resources(pod: Obj) -> set[str]:
    containers = [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]
    return {
        name
        for container in containers
        for kind in ("requests", "limits")
        for name in (container.get("resources") or {}).get(kind) or ()
    }


def _ssl_context(tls: Mapping[str, Any]) -> ssl.SSLContext:
    """`caFile` or `caData`, `certFile` and `keyFile`; `insecure` trusts anybody, as the field says."""
    data = base64.b64decode(tls["caData"]).decode() if tls.get("caData") else None
    context = ssl.create_default_context(cafile=tls.get("caFile") or None, cadata=data)
    if tls.get("certFile"):
        context.load_cert_chain(tls["certFile"], tls.get("keyFile") or None)
    if tls.get("insecure"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
