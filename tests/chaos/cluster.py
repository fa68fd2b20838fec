"""Three members as processes, and what can be done to them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from certs.ca import CertificateAuthority
from store.client import StoreError
from tests.chaos.member import FAULTS_ENV
from tests.store.conftest import BalsaCluster, BalsaMember, TlsFiles, free_port, wait_ready

NAMES = ("m1", "m2", "m3")
NEWCOMERS = 40
STOP_TIMEOUT_S = 15.0


def make_certificates(directory: Path) -> TlsFiles:
    directory.mkdir(parents=True, exist_ok=True)
    ca = CertificateAuthority.create("store-ca")
    ca.write(directory / "ca.crt", directory / "ca.key")
    sans = ["127.0.0.1", "localhost"]
    ca.issue_peer("server", sans).write(directory / "server.crt", directory / "server.key")
    ca.issue_client("client").write(directory / "client.crt", directory / "client.key")
    for number in range(1, len(NAMES) + NEWCOMERS + 1):
        name = f"m{number}"
        ca.issue_peer(name, sans).write(directory / f"peer-{name}.crt", directory / f"peer-{name}.key")
    return TlsFiles(directory)


class ChaosMember(BalsaMember):
    """A member whose links and disk can be broken."""

    def __init__(self, directory: Path, tls: TlsFiles, name: str, client_port: int, cluster: str) -> None:
        super().__init__(directory, tls, name, client_port, cluster)
        self.faults_file = directory / f"{name}.faults"
        self.wanted = True  # whether it should be running

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.chaos.member",
                *self._argv,
                *self.flags,
                stdout=log,
                stderr=log,
                env={**os.environ, FAULTS_ENV: str(self.faults_file)},
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            assert self.process is not None
            self.process.send_signal(number)

    def break_(self, **faults: Any) -> None:
        """What is wrong with it from now on; nothing when called without."""
        self.faults_file.write_bytes(orjson.dumps(faults))
        self.signal(signal.SIGUSR1)


class ChaosCluster(BalsaCluster):
    def __init__(self, directory: Path, flags: list[str]) -> None:
        self.directory = directory
        self.tls = make_certificates(directory / "pki")
        self.flags = flags
        pairs = ",".join(f"{name}=https://127.0.0.1:{free_port()}" for name in NAMES)
        self.members: list[ChaosMember] = [  # type: ignore[assignment]
            ChaosMember(directory, self.tls, name, free_port(), pairs) for name in NAMES
        ]
        self._names = len(NAMES)

    def urls_from(self, turn: int) -> list[str]:
        """Everybody's, another one first each time."""
        turn %= len(self.urls)
        return self.urls[turn:] + self.urls[:turn]

    async def start(self) -> None:
        for member in self.members:
            member.flags = self.flags
            await member.start()
        async with self.client() as client:
            await wait_ready(client, self.members[0].process)

    async def stop(self) -> None:
        for member in self.members:
            member.signal(signal.SIGCONT)
            await member.kill()

    async def supervise(self) -> None:
        """Start again whoever ended and should run."""
        while True:
            for member in self.members:
                if member.wanted and not member.running:
                    await member.start()
            await asyncio.sleep(0.2)

    async def replace(self, member: ChaosMember) -> None:
        """A member is lost with its data; another takes its place: removed, added as a learner, promoted."""
        member.wanted = False
        await member.kill()
        async with self.client(*(each.url for each in self.members if each is not member)) as client:
            infos = await _until_done(client.members)
            old = next(each.id for each in infos if each.name == member.name)
            await _until_done(lambda: client.member_remove(old), ignore="not found")
            self._names += 1
            name, peer_url = f"m{self._names}", f"https://127.0.0.1:{free_port()}"
            joining = ChaosMember(self.directory, self.tls, name, free_port(), f"{name}={peer_url}")
            live = [each.url for each in self.members if each is not member]
            joining.flags = [
                *self.flags,
                "--initial-cluster-state=existing",
                "--join-endpoints",
                ",".join(live),
            ]
            await _until_done(lambda: client.member_add([peer_url], is_learner=True), ignore="already exists")
            joining.wanted = False  # the supervisor would start it a second time meanwhile
            self.members[self.members.index(member)] = joining
            await joining.start()
            joining.wanted = True
            infos = await _until_done(client.members)
            new = next(each.id for each in infos if peer_url in each.peer_urls)
            await _until_done(lambda: client.member_promote(new), ignore="can only promote a learner member")


async def _until_done(ask: Any, ignore: str = "\0") -> Any:
    """Ask until it is done; `ignore` is what a second asking is told when the first was heard after all."""
    deadline = asyncio.get_running_loop().time() + STOP_TIMEOUT_S
    while True:
        try:
            return await ask()
        except StoreError as error:
            text = str(error)
            if ignore in text and "in sync" not in text:
                return None
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)
