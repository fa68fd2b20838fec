"""Static pods: manifests in a directory that run without the API, and their mirrors in it.

The files are looked at every CHECK_S. A pod's uid is a hash of its manifest, so that an edited file is another
pod and an unchanged one is found again after a restart. For each there is a mirror pod in the API, which shows
it and carries its status; deleting the mirror does not stop the pod, it comes back.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import yaml

from control_plane.api import defaults
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.client import gvr
from control_plane.client.client import Client
from control_plane.client.errors import ClientError
from node.agent.manager import PodManager
from node.agent.pod_spec import (
    HASH_ANNOTATION,
    MIRROR_ANNOTATION,
    SOURCE_ANNOTATION,
    Obj,
    is_deleting,
    name,
    namespace,
    uid,
)
from store.component import logs

CHECK_S = 2.0
MAX_FILES = 500
MAX_FILE_BYTES = 1 << 20
_SUFFIXES = (".yaml", ".yml", ".json")

log = logs.get("node.static")


class StaticPods:
    def __init__(
        self, directory: Path, node_name: str, client: Client, manager: PodManager, node: Callable[[], Obj]
    ) -> None:
        self._directory = directory
        self._node_name = node_name
        self._client = client
        self._manager = manager
        self._node = node
        self._pods: dict[str, Obj] = {}
        self._complained: set[str] = set()

    async def run(self) -> None:
        while True:
            self.look()
            try:
                await self._mirror()
            except (StatusError, ClientError) as error:
                log.warning("mirror pods not up to date", error=str(error))
            await asyncio.sleep(CHECK_S)

    def look(self) -> None:
        """Make the running static pods those of the directory."""
        found = {uid(pod): pod for pod in self._read()}
        for pod_uid in self._pods.keys() - found.keys():
            self._manager.deleted(self._pods.pop(pod_uid))
        for pod_uid in found.keys() - self._pods.keys():
            self._pods[pod_uid] = found[pod_uid]
            self._manager.added(found[pod_uid])

    def _read(self) -> Iterator[Obj]:
        entries = sorted(self._directory.iterdir()) if self._directory.is_dir() else []
        for path in entries[:MAX_FILES]:
            if path.suffix not in _SUFFIXES or path.name.startswith("."):
                continue
            try:
                text = path.read_bytes()[:MAX_FILE_BYTES]
                yield from (
                    decode(each, self._node_name, str(path)) for each in yaml.safe_load_all(text) if each
                )
            except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
                if str(path) not in self._complained:
                    self._complained.add(str(path))
                    log.warning("manifest not used", file=path, error=repr(error))

    async def _mirror(self) -> None:
        wanted = {(namespace(each), name(each)): each for each in self._pods.values()}
        for key, mirror in list(self._manager.mirrors.items()):
            pod = wanted.get(key)
            shown = mirror["metadata"]["annotations"][MIRROR_ANNOTATION]
            if pod is None or shown != uid(pod) or is_deleting(mirror):
                await self._remove(mirror)
        for key, pod in wanted.items():
            if key not in self._manager.mirrors:
                await self._create(pod)

    async def _remove(self, mirror: Obj) -> None:
        try:
            await self._client.delete(
                gvr.PODS, name(mirror), namespace(mirror), uid=uid(mirror), grace_period_s=0
            )
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _create(self, pod: Obj) -> None:
        mirror = copy.deepcopy(pod)
        del mirror["metadata"]["uid"]
        mirror["metadata"]["annotations"][MIRROR_ANNOTATION] = uid(pod)
        node = self._node()["metadata"]
        if node.get("uid"):
            owner = {"apiVersion": "v1", "kind": "Node", "name": node["name"], "uid": node["uid"]}
            mirror["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
        try:
            await self._client.create(gvr.PODS, mirror)
        except StatusError as error:
            if not is_already_exists(error):
                raise


def decode(document: Obj, node_name: str, source: str) -> Obj:
    """The pod of a manifest, as this node runs it. Raises KeyError, TypeError or ValueError for what is none."""
    if document.get("kind") != "Pod" or not document["spec"]["containers"]:
        raise ValueError("a manifest must hold a Pod")
    pod = copy.deepcopy(document)
    defaults.apply("", "v1", "Pod", pod)
    text = orjson.dumps([document, node_name, source], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(text).hexdigest()[:32]
    meta = pod["metadata"]
    meta["name"] = f"{meta['name']}-{node_name}"
    meta.setdefault("namespace", "default")
    meta["uid"] = digest
    annotations = meta.get("annotations") or {}
    meta["annotations"] = {**annotations, SOURCE_ANNOTATION: "file", HASH_ANNOTATION: digest}
    pod["spec"]["nodeName"] = node_name
    pod["spec"]["tolerations"] = [
        *(pod["spec"].get("tolerations") or []),
        {"operator": "Exists", "effect": "NoExecute"},
    ]
    return pod
