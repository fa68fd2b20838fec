"""python -m tests.fuzz.openapi [--examples N] [--seed N] [--program PATH] [GROUP …]

Asks an apiserver of its own for its OpenAPI documents and has Schemathesis send requests that follow them and
requests that do not. Judged: no 5xx, and no answer that the document does not describe. GROUP is a part of a
document's path, such as `apps/v1`. Schemathesis is no dependency of the project: `pip install schemathesis`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from bench.cluster.home import fresh_home, start
from certs.kubeconfig import KubeConfig
from cluster.home import Home
from control_plane.client.client import Client

CHECKS = (
    "not_a_server_error,response_schema_conformance,content_type_conformance,response_headers_conformance"
)
ELSEWHERE = r"/watch/|/proxy|/exec$|/attach$|/portforward$|/log$"
"""Streams and tunnels: no plain answers, tried by `tests.fuzz.apiserver`."""
REQUEST_TIMEOUT_S = 30
GENERATED = re.compile(r"(\d[\d,]*) generated")


class Fuzz:
    def __init__(self, home: Home, program: str, examples: int, seed: int) -> None:
        self._config = KubeConfig.load(home.kubeconfig)
        self._directory = home.root / "openapi"
        self._directory.mkdir()
        self._program, self._examples, self._seed = program, examples, seed
        self.requests = 0
        self.failed: list[str] = []

    def run(self, wanted: list[str]) -> None:
        documents = asyncio.run(self._documents())
        for name, document in sorted(documents.items()):
            if not wanted or any(each in name for each in wanted):
                self._one(name, document)

    async def _documents(self) -> dict[str, bytes]:
        async with Client(self._config, user_agent="fuzz") as client:
            index: dict[str, Any] = orjson.loads((await client.request("GET", "/openapi/v3")).body)
            return {
                name: (await client.request("GET", entry["serverRelativeURL"])).body
                for name, entry in index["paths"].items()
            }

    def _one(self, name: str, document: bytes) -> None:
        schema = self._directory / f"{name.replace('/', '-')}.json"
        schema.write_bytes(document)
        done = subprocess.run(
            self._command(schema), capture_output=True, text=True, check=False, env=self._environment()
        )
        found = GENERATED.search(done.stdout)
        count = int(found[1].replace(",", "")) if found else 0
        self.requests += count
        print(f"{name:45} {count:6} requests {'' if done.returncode == 0 else 'FAILED'}", flush=True)
        if done.returncode:
            self.failed.append(name)
            print(done.stdout, done.stderr, flush=True)

    def _command(self, schema: Path) -> list[str]:
        config = self._config
        files = {"ca": config.ca_data, "certificate": config.cert_data, "key": config.key_data}
        for name, data in files.items():
            path = self._directory / name
            path.touch(mode=0o600)
            path.write_bytes(data)
        return [
            *(self._program, "run", str(schema), f"--url={config.server}", f"--seed={self._seed}"),
            *(f"--tls-verify={self._directory / 'ca'}", f"--request-cert={self._directory / 'certificate'}"),
            *(f"--request-cert-key={self._directory / 'key'}", f"--request-timeout={REQUEST_TIMEOUT_S}"),
            *(f"--max-examples={self._examples}", f"--checks={CHECKS}", f"--exclude-path-regex={ELSEWHERE}"),
            *("--phases=examples,coverage,fuzzing", "--no-shrink", "--continue-on-failure", "--no-color"),
            *("--suppress-health-check=all", "--warnings=off", "--workers=2"),
        ]

    def _environment(self) -> dict[str, str]:
        here = Path(__file__)
        hooks = f"{here.parent.name}.hooks"
        return {**os.environ, "SCHEMATHESIS_HOOKS": hooks, "PYTHONPATH": str(here.parents[1])}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.openapi", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP")
    parser.add_argument("--examples", type=int, default=10, help="of each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default="schemathesis", help="where it is installed")
    args = parser.parse_args(argv)
    if shutil.which(args.program) is None:
        parser.error(f"no {args.program}: pip install schemathesis, or say where it is with --program")
    with fresh_home() as home:
        start(home, stores=1, apiservers=1, nodes=0, schedulers=1, controller_managers=1)
        fuzz = Fuzz(home, args.program, args.examples, args.seed)
        fuzz.run(args.groups)
    print(f"{fuzz.requests} requests; {', '.join(fuzz.failed) or 'nothing'} failed")
    return 1 if fuzz.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
