"""What the runtime keeps on disk, so that an agent that starts anew finds every pod again.

<root>/sandboxes/<id>/sandbox.json                   SandboxConfig, addresses, when, whether stopped (agent)
<root>/sandboxes/<id>/shim.json, shim.sock, shim.log                                     (agent → shim)
<root>/sandboxes/<id>/containers/<id>/config.json    ContainerConfig, image, when        (agent)
<root>/sandboxes/<id>/containers/<id>/spec.json      what the shim carries out           (agent → shim)
<root>/sandboxes/<id>/containers/<id>/status.json    state, times, exit code             (shim)
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.runtime.interface import (
    ContainerConfig,
    MemoryVolume,
    Mount,
    PodResources,
    Resources,
    SandboxConfig,
    SecurityContext,
)
from node.runtime.process.shim.container import write_record


@dataclass(slots=True)
class SandboxRecord:
    id: str
    config: SandboxConfig
    created_at_ns: int
    ips: tuple[str, ...] = ()
    netns_path: str = ""
    stopped: bool = False


@dataclass(slots=True)
class ContainerRecord:
    id: str
    sandbox_id: str
    config: ContainerConfig
    created_at_ns: int
    image_ref: str
    image_config: dict[str, Any] = field(default_factory=dict)


class Records:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.sandboxes = root / "sandboxes"

    def sandbox_directory(self, sandbox_id: str) -> Path:
        return self.sandboxes / sandbox_id

    def container_directory(self, sandbox_id: str, container_id: str) -> Path:
        return self.sandboxes / sandbox_id / "containers" / container_id

    def save_sandbox(self, record: SandboxRecord) -> None:
        directory = self.sandbox_directory(record.id)
        (directory / "containers").mkdir(parents=True, exist_ok=True)
        write_record(str(directory / "sandbox.json"), dataclasses.asdict(record), durable=False)

    def save_container(self, record: ContainerRecord, spec: dict[str, Any]) -> None:
        directory = self.container_directory(record.sandbox_id, record.id)
        directory.mkdir(parents=True, exist_ok=True)
        write_record(str(directory / "spec.json"), spec, durable=False)
        self.update_container(record)

    def update_container(self, record: ContainerRecord) -> None:
        directory = self.container_directory(record.sandbox_id, record.id)
        write_record(str(directory / "config.json"), dataclasses.asdict(record), durable=False)

    def load_sandboxes(self) -> Iterator[SandboxRecord]:
        """Those that were completely written; the others are removed."""
        if not self.sandboxes.is_dir():
            return
        for directory in self.sandboxes.iterdir():
            document = _read(directory / "sandbox.json")
            if document is None:
                shutil.rmtree(directory, ignore_errors=True)
                continue
            document["config"] = _sandbox_config(document["config"])
            yield SandboxRecord(**document | {"ips": tuple(document["ips"])})

    def load_containers(self, sandbox_id: str) -> Iterator[ContainerRecord]:
        for directory in (self.sandbox_directory(sandbox_id) / "containers").iterdir():
            document = _read(directory / "config.json")
            if document is None:
                shutil.rmtree(directory, ignore_errors=True)
                continue
            document["config"] = _container_config(document["config"])
            yield ContainerRecord(**document)

    def load_status(self, record: ContainerRecord) -> dict[str, Any] | None:
        """What the shim wrote; None before it tried to start the container."""
        return _read(self.container_directory(record.sandbox_id, record.id) / "status.json")

    def remove_sandbox(self, sandbox_id: str) -> None:
        shutil.rmtree(self.sandbox_directory(sandbox_id), ignore_errors=True)

    def remove_container(self, sandbox_id: str, container_id: str) -> None:
        shutil.rmtree(self.container_directory(sandbox_id, container_id), ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return document


def _sandbox_config(document: dict[str, Any]) -> SandboxConfig:
    aliases = tuple((ip, tuple(names)) for ip, names in document.pop("host_aliases"))
    volumes = tuple(MemoryVolume(**volume) for volume in document.pop("memory_volumes", ()))
    return SandboxConfig(**document, host_aliases=aliases, memory_volumes=volumes)


def _resources(document: dict[str, Any]) -> Resources:
    pod = document.pop("pod", None)
    return Resources(**document, pod=PodResources(**pod) if pod else None)


def _container_config(document: dict[str, Any]) -> ContainerConfig:
    document["env"] = tuple((name, value) for name, value in document["env"])
    document["mounts"] = tuple(Mount(**mount) for mount in document["mounts"])
    document["resources"] = _resources(document["resources"])
    document["security"] = SecurityContext(**document["security"])
    return ContainerConfig(**document)
