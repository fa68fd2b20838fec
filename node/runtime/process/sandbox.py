"""What the agent knows of one pod and its containers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.runtime.interface import ContainerState, ContainerStatus
from node.runtime.process.isolation import Isolation
from node.runtime.process.records import ContainerRecord, SandboxRecord
from node.runtime.process.shim.container import write_record
from node.runtime.process.shim_client import ShimClient

EXIT_UNKNOWN = 137
REASON_UNKNOWN = "ContainerStatusUnknown"
MESSAGE_UNKNOWN = "The container ended together with the pod's shim; its exit code is not known."


class Container:
    def __init__(self, record: ContainerRecord, directory: Path, status: dict[str, Any] | None) -> None:
        self.record = record
        self.log_path = ""
        self._directory = directory
        self._status = status or {"state": "created"}

    @property
    def state(self) -> ContainerState:
        return ContainerState(self._status["state"])

    def update(self, status: dict[str, Any]) -> bool:
        """An exit is final: a message that was under way cannot undo it. True when something changed."""
        if self.state == ContainerState.EXITED or status == self._status:
            return False
        self._status = status
        return True

    def lost(self) -> bool:
        """The shim ended without a word about this container."""
        if self.state == ContainerState.EXITED:
            return False
        now = time.time_ns()
        self._status = {
            "id": self.record.id,
            "state": "exited",
            "pid": 0,
            "started_at_ns": self._status.get("started_at_ns", 0),
            "finished_at_ns": now,
            "exit_code": EXIT_UNKNOWN,
            "reason": REASON_UNKNOWN,
            "message": MESSAGE_UNKNOWN,
        }
        write_record(str(self._directory / "status.json"), self._status, durable=True)
        return True

    def describe(self) -> ContainerStatus:
        status = self._status
        return ContainerStatus(
            id=self.record.id,
            sandbox_id=self.record.sandbox_id,
            config=self.record.config,
            state=self.state,
            created_at_ns=self.record.created_at_ns,
            started_at_ns=status.get("started_at_ns", 0),
            finished_at_ns=status.get("finished_at_ns", 0),
            exit_code=status.get("exit_code", 0),
            reason=status.get("reason", ""),
            message=status.get("message", ""),
            image_ref=self.record.image_ref,
            log_path=self.log_path,
            pid=status.get("pid", 0),
        )


class Sandbox:
    def __init__(self, record: SandboxRecord, directory: Path, changed: Callable[[], None]) -> None:
        self.record = record
        self.directory = directory
        self.shim = ShimClient(directory)
        self.containers: dict[str, Container] = {}
        self.ready = False
        self._changed = changed

    def add(self, record: ContainerRecord, status: dict[str, Any] | None) -> Container:
        container = Container(record, self.directory / "containers" / record.id, status)
        container.log_path = str(Path(self.record.config.log_directory) / record.config.log_path)
        self.containers[record.id] = container
        return container

    def write_shim_config(self, isolation: Isolation, lifeline_pid: int) -> None:
        config = self.record.config
        document = {
            "isolated": isolation.isolated,
            "own_user_namespace": isolation.own_user_namespace,
            "hostname": config.hostname[:64],
            "netns_path": self.record.netns_path,
            "share_pid": config.share_process_namespace and not config.host_pid,
            "sysctls": dict(config.sysctls),
            "lifeline_pid": lifeline_pid,
            "memory_volumes": [(v.host_path, v.size_bytes, v.group) for v in config.memory_volumes],
        }
        (self.directory / "shim.json").write_text(json.dumps(document))

    async def connect(self) -> None:
        """Follow the shim; raises ShimGone."""
        self.ready = True
        await self.shim.subscribe(self._heard, self.lost)

    def lost(self) -> None:
        """The shim is gone, and with it every process of the pod."""
        self.shim.close()
        was_ready, self.ready = self.ready, False
        on_disk = {cid: self._read_status(cid) for cid in self.containers}
        changed = [c.update(status) for cid, c in self.containers.items() if (status := on_disk[cid])]
        changed += [c.lost() for c in self.containers.values() if c.state == ContainerState.RUNNING]
        if was_ready or any(changed):
            self._changed()

    def kill_shim(self) -> None:
        pid = self.shim.pid()
        if pid:
            os.kill(pid, signal.SIGKILL)

    @staticmethod
    def shim_pid(directory: Path) -> int:
        return ShimClient(directory).pid()

    def _heard(self, status: dict[str, Any]) -> None:
        container = self.containers.get(status["id"])
        if container is not None and container.update(status):
            self._changed()

    def _read_status(self, container_id: str) -> dict[str, Any] | None:
        try:
            path = self.directory / "containers" / container_id / "status.json"
            status: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, json.JSONDecodeError):
            return None
        return status
