"""Three members of Balsa's store and three of a real etcd, on this machine and the same disk, with the same
certificates; their flags differ in nothing that costs time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from certs.ca import CertificateAuthority
from certs.tls import client_context
from store.client import StoreClient, StoreError

NAMES = ("m1", "m2", "m3")
PROGRAMS = {"etcd": ["etcd", "--log-level=error"], "balsa": [sys.executable, "-m", "store.api"]}
START_TIMEOUT_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Cluster:
    def __init__(self, program: list[str], directory: Path, pki: Path) -> None:
        self.urls = [f"https://127.0.0.1:{_free_port()}" for _ in NAMES]
        self._peer_urls = [f"https://127.0.0.1:{_free_port()}" for _ in NAMES]
        self._program = program
        self._directory = directory
        self._pki = pki
        self.processes: list[asyncio.subprocess.Process] = []
        self.directories = [directory / name for name in NAMES]

    def client_context(self) -> ssl.SSLContext:
        return client_context(self._pki / "ca.crt", self._pki / "client.crt", self._pki / "client.key")

    async def start(self) -> None:
        for number in range(len(NAMES)):
            self.processes.append(await self._spawn(number))
        await self.wait_ready()

    async def _spawn(self, number: int) -> asyncio.subprocess.Process:
        name, url, peer_url = NAMES[number], self.urls[number], self._peer_urls[number]
        initial = ",".join(f"{name}={url}" for name, url in zip(NAMES, self._peer_urls, strict=True))
        tls = {
            "": (f"{self._pki}/server.crt", f"{self._pki}/server.key"),
            "peer-": (f"{self._pki}/{name}.crt", f"{self._pki}/{name}.key"),
        }
        flags = [
            f"--{prefix}{flag}={value}"
            for prefix, (cert, key) in tls.items()
            for flag, value in (
                ("cert-file", cert),
                ("key-file", key),
                ("trusted-ca-file", f"{self._pki}/ca.crt"),
                ("client-cert-auth", "true"),
            )
        ]
        return await asyncio.create_subprocess_exec(
            *self._program,
            *(f"--name={name}", f"--data-dir={self.directories[number]}"),
            *(f"--listen-client-urls={url}", f"--advertise-client-urls={url}"),
            *(f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}"),
            f"--initial-cluster={initial}",
            *flags,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def leader_term(self) -> int:
        async with StoreClient(self.urls, self.client_context()) as client:
            return (await client.status(self.urls[0])).raft_term

    async def leader(self) -> int:
        """Which of the members leads."""
        statuses = []
        for url in self.urls:
            async with StoreClient([url], self.client_context()) as client:
                statuses.append(await client.status(url))
        return next(number for number, each in enumerate(statuses) if each.leader == each.member_id)

    async def kill(self, number: int) -> None:
        self.processes[number].kill()
        await self.processes[number].wait()

    async def restart(self, number: int) -> None:
        self.processes[number] = await self._spawn(number)
        await self.wait_ready()

    def cpu_s(self) -> float:
        """Processor time of all members together."""
        return sum(_cpu_s(each.pid) for each in self.processes)

    def memory_mib(self, number: int) -> dict[str, float]:
        """Resident, and of it what is the process's own and what are pages of its files."""
        lines = Path(f"/proc/{self.processes[number].pid}/status").read_text().splitlines()
        fields = dict(
            line.split(":", 1) for line in lines if line.startswith(("VmRSS", "RssAnon", "RssFile"))
        )
        return {name: round(int(value.split()[0]) / 1024, 1) for name, value in fields.items()}

    async def wait_ready(self) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            for url in self.urls:
                async with StoreClient([url], self.client_context()) as client:
                    while True:
                        with contextlib.suppress(StoreError):
                            await client.range(b"ready")
                            break
                        await asyncio.sleep(0.1)

    async def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def both(parent: Path, kinds: Sequence[str] = tuple(PROGRAMS)) -> AsyncIterator[dict[str, Cluster]]:
    """Balsa and etcd (or one of them), running; their state is below `parent`, which says which disk."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=parent) as name:
        directory = Path(name)
        ca = CertificateAuthority.create("bench")
        ca.write(directory / "ca.crt", directory / "ca.key")
        sans = ["127.0.0.1", "localhost"]
        for each in ("server", *NAMES):
            ca.issue_peer(each, sans).write(directory / f"{each}.crt", directory / f"{each}.key")
        ca.issue_client("client").write(directory / "client.crt", directory / "client.key")
        clusters = {kind: Cluster(PROGRAMS[kind], directory / kind, directory) for kind in kinds}
        for kind in clusters:
            (directory / kind).mkdir()
        try:
            for cluster in clusters.values():
                await cluster.start()
            yield clusters
        finally:
            for cluster in clusters.values():
                await cluster.stop()
