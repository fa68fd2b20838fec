"""A cluster of member processes, and a client that fails over between them."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from certs.ca import CertificateAuthority
from tests.store.raft.cluster import free_port, write_identity

START_DEADLINE_S = 30.0
ATTEMPT_TIMEOUT_S = 5.0


class Failed(Exception):
    """The member's answer was an error; its name is the text."""


class Processes:
    def __init__(self, directory: Path, authority: CertificateAuthority, names: str, **settings: Any) -> None:
        self.directory = directory
        self.names = list(names)
        self.ports = {name: free_port() for name in names}
        self.members = ",".join(f"{name}=https://127.0.0.1:{free_port()}" for name in names)
        self.settings = json.dumps(settings)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for name in names:
            write_identity(directory / "pki", authority, name)

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "tests.store.raft.process_member"]
        log = (self.directory / f"{name}.log").open("ab")
        self.running[name] = subprocess.Popen(
            [*command, name, str(self.directory), str(self.ports[name]), self.members, self.settings],
            stderr=log,
            stdout=log,
        )
        log.close()

    def signal(self, name: str, number: signal.Signals) -> None:
        self.running[name].send_signal(number)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait()

    async def ask(self, name: str, op: str, timeout_s: float = ATTEMPT_TIMEOUT_S, **fields: Any) -> Any:
        """Raises OSError, TimeoutError, EOFError, Failed."""
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[name], limit=1 << 26)
            try:
                writer.write(json.dumps({"op": op, **fields}).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
        if not line.endswith(b"\n"):
            raise EOFError(name)
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["ok"]

    async def leader(self) -> str:
        end = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < end:
            leaders = {}
            for name in self.running:
                try:
                    status = await self.ask(name, "status", timeout_s=0.5)
                except (OSError, EOFError):
                    continue
                if status["role"] == "leader":
                    leaders[status["term"]] = name
            if leaders:
                return leaders[max(leaders)]
            await asyncio.sleep(0.02)
        raise AssertionError(f"no leader in {START_DEADLINE_S} s")


class Writer:
    """Writes unique commands one after another; knows which were acknowledged and which may have been applied."""

    def __init__(self, processes: Processes, name: str) -> None:
        self.processes = processes
        self.name = name
        self.acknowledged: list[str] = []
        self.attempted: list[str] = []
        self.acknowledged_at: list[float] = []
        self.stopping = False

    async def run(self) -> None:
        number = 0
        names = self.processes.names
        member = names[hash(self.name) % len(names)]
        while not self.stopping:
            number += 1
            command = f"{self.name}-{number}"
            self.attempted.append(command)
            try:
                await self.processes.ask(member, "put", command=command)
            except (OSError, EOFError, Failed):
                member = names[(names.index(member) + 1) % len(names)]
                await asyncio.sleep(0.005)
            else:
                self.acknowledged.append(command)
                self.acknowledged_at.append(time.monotonic())

    def longest_pause_s(self, begin: float) -> float:
        times = [begin, *(each for each in self.acknowledged_at if each >= begin)]
        return max(after - before for before, after in itertools.pairwise(times))
