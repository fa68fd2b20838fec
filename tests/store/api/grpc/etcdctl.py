"""The stock `etcdctl` on one endpoint, and its output with what is random masked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from dataclasses import dataclass

from ...conftest import TlsFiles

COMMAND_TIMEOUT_S = 10.0

Step = str | tuple[str, str]  # a command, or one with what it is given on stdin


@dataclass(frozen=True)
class Etcdctl:
    url: str
    tls: TlsFiles

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ETCDCTL_")},
            "ETCDCTL_API": "3",
            "ETCDCTL_ENDPOINTS": self.url,
            "ETCDCTL_CACERT": str(self.tls.ca),
            "ETCDCTL_CERT": str(self.tls.directory / "client.crt"),
            "ETCDCTL_KEY": str(self.tls.directory / "client.key"),
        }

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "etcdctl",
            *args,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, command: str | list[str], stdin: str = "") -> str:
        """The output, masked; the exit code too when it is not 0."""
        process = await self.start(*(command.split() if isinstance(command, str) else command))
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                output, _ = await process.communicate(stdin.encode())
        except TimeoutError:
            kill(process)
            await process.wait()
            return "(it does not end)\n"
        text = masked(output.decode())
        return f"{text}(exit code {process.returncode})\n" if process.returncode else text


def kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def masked(text: str) -> str:
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith(('{"level"', "{level"))]
    text = "".join(lines)
    for pattern, replacement in (
        (r"(?<= ) *\b[0-9a-f]{13,16}\b|\b[0-9a-f]{13,16}\b", "<id>"),  # a short one is padded
        (r"0xc000[0-9a-f]+", "<pointer>"),  # etcdctl panics at what it does not understand
        (r"https://127\.0\.0\.1:\d+", "<url>"),
        (r"\d+(\.\d+)?(µs|ms|s)\b", "<time>"),
        (r'"(cluster_id|member_id|raft_term|ID|leader)":\d+', r'"\1":0'),
        (r"(\"(ClusterID|MemberID|Leader|RaftTerm)\" : )\d+", r"\1 0"),
        (r"remaining\(\d+s\)", "remaining(<time>)"),
    ):
        text = re.sub(pattern, replacement, text)
    return text


async def transcript(etcdctl: Etcdctl, script: list[Step]) -> str:
    lines = []
    for step in script:
        command, stdin = (step, "") if isinstance(step, str) else step
        lines.append(f"$ {command}\n{await etcdctl.run(command, stdin)}")
    return "".join(lines)
