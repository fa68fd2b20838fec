"""Fixtures of the store's tests: certificates of a throw-away CA, a real etcd, free ports."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from certs.ca import CertificateAuthority
from certs.tls import client_context
from store.client import StoreClient, StoreError

START_TIMEOUT_S = 20.0


def free_port() -> int:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass(frozen=True)
class TlsFiles:
    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def cert(self) -> Path:
        return self.directory / "server.crt"

    @property
    def key(self) -> Path:
        return self.directory / "server.key"

    def client_context(self) -> ssl.SSLContext:
        return client_context(self.ca, self.directory / "client.crt", self.directory / "client.key")

    def peer(self, name: str) -> tuple[Path, Path]:
        return self.directory / f"peer-{name}.crt", self.directory / f"peer-{name}.key"


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFiles]:
    directory = tmp_path_factory.mktemp("tls")
    ca = CertificateAuthority.create("store-ca")
    ca.write(directory / "ca.crt", directory / "ca.key")
    sans = ["127.0.0.1", "localhost"]
    ca.issue_peer("server", sans).write(directory / "server.crt", directory / "server.key")
    ca.issue_client("client").write(directory / "client.crt", directory / "client.key")
    for name in ("m1", "m2", "m3", "m4", "m5"):
        ca.issue_peer(name, sans).write(directory / f"peer-{name}.crt", directory / f"peer-{name}.key")
    return TlsFiles(directory)


async def wait_ready(client: StoreClient, process: asyncio.subprocess.Process | None = None) -> None:
    """Until a linearizable read is answered."""
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while True:
        try:
            await client.range(b"\x00ready")
            return
        except StoreError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            assert process is None or process.returncode is None, "the store ended while starting"
            await asyncio.sleep(0.05)


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = START_TIMEOUT_S
) -> None:
    """Wait until the condition holds; fails at the deadline."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


async def stop_process(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@asynccontextmanager
async def real_etcd(directory: Path, tls: TlsFiles, *flags: str) -> AsyncIterator[str]:
    """Debian's etcd as a single member; yields its client URL."""
    client_url, peer_url = (f"https://127.0.0.1:{free_port()}" for _ in range(2))
    process = await asyncio.create_subprocess_exec(
        "etcd",
        *("--name", "m1", "--data-dir", str(directory / "etcd"), "--log-level", "error"),
        *("--listen-client-urls", client_url, "--advertise-client-urls", client_url),
        *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
        *("--initial-cluster", f"m1={peer_url}", "--unsafe-no-fsync"),
        *("--cert-file", str(tls.cert), "--key-file", str(tls.key)),
        *("--client-cert-auth", "--trusted-ca-file", str(tls.ca)),
        *("--peer-cert-file", str(tls.cert), "--peer-key-file", str(tls.key)),
        *("--peer-client-cert-auth", "--peer-trusted-ca-file", str(tls.ca)),
        *flags,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with StoreClient([client_url], tls.client_context()) as client:
            await wait_ready(client, process)
        yield client_url
    finally:
        await stop_process(process)


needs_etcd = pytest.mark.skipif(shutil.which("etcd") is None, reason="no etcd on this machine")


class BalsaMember:
    """One `balsa store` process that can be killed and started again on its data."""

    def __init__(self, directory: Path, tls: TlsFiles, name: str, client_port: int, cluster: str) -> None:
        self.name = name
        self.url = f"https://127.0.0.1:{client_port}"
        self.log = directory / f"{name}.log"
        peer_url = dict(pair.split("=") for pair in cluster.split(","))[name]
        peer_cert, peer_key = tls.peer(name)
        self._argv = [
            *("--name", name, "--data-dir", str(directory / name), "--initial-cluster", cluster),
            *("--listen-client-urls", self.url, "--listen-peer-urls", peer_url),
            *("--cert-file", str(tls.cert), "--key-file", str(tls.key), "--trusted-ca-file", str(tls.ca)),
            *("--peer-cert-file", str(peer_cert), "--peer-key-file", str(peer_key)),
            *("--peer-trusted-ca-file", str(tls.ca)),
        ]
        self.flags: list[str] = []
        self.pass_fds: tuple[int, ...] = ()
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "store.api",
                *self._argv,
                *self.flags,
                stdout=log,
                stderr=log,
                pass_fds=self.pass_fds,
            )

    async def kill(self) -> None:
        if self.process is not None:
            await stop_process(self.process)

    async def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), START_TIMEOUT_S)


class BalsaCluster:
    def __init__(self, directory: Path, tls: TlsFiles, size: int) -> None:
        names = [f"m{number + 1}" for number in range(size)]
        cluster = ",".join(f"{name}=https://127.0.0.1:{free_port()}" for name in names)
        self.tls = tls
        self.initial_cluster = cluster
        self.members = [BalsaMember(directory, tls, name, free_port(), cluster) for name in names]

    @property
    def urls(self) -> list[str]:
        return [member.url for member in self.members]

    def client(self, *urls: str, **options: Any) -> StoreClient:
        return StoreClient(urls or self.urls, self.tls.client_context(), **options)

    async def leader(self) -> BalsaMember:
        """The member that leads, as soon as there is one."""
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        async with self.client() as client:
            while asyncio.get_running_loop().time() < deadline:
                for member in self.members:
                    with contextlib.suppress(StoreError):
                        status = await client.status(member.url)
                        if status.leader == status.member_id:
                            return member
                await asyncio.sleep(0.05)
        raise AssertionError("no leader")


@asynccontextmanager
async def balsa_cluster(
    directory: Path, tls: TlsFiles, size: int = 1, flags: Sequence[str] = ()
) -> AsyncIterator[BalsaCluster]:
    cluster = BalsaCluster(directory, tls, size)
    try:
        for member in cluster.members:
            member.flags = list(flags)
            await member.start()
        for member in cluster.members:
            async with cluster.client(member.url) as client:
                await wait_ready(client, member.process)
        yield cluster
    finally:
        for member in cluster.members:
            await member.kill()
