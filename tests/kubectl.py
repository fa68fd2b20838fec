"""The kubectl binaries of this machine: the one on the PATH, and those beside it named kubectl.1.N."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 60

COPY = ("cp",) if os.geteuid() == 0 else ("cp", "--no-preserve")
"""Pods of an ordinary user know one owner of files, and tar inside them cannot give files to another."""


def found() -> list[Path]:
    """Oldest first; empty when there is none."""
    main = shutil.which("kubectl")
    if main is None:
        return []
    numbered = {
        int(match[1]): path
        for path in Path(main).resolve().parent.glob("kubectl.1.*")
        if (match := re.fullmatch(r"kubectl\.1\.(\d+)", path.name))
    }
    return [numbered[minor] for minor in sorted(numbered)] or [Path(main)]


def oldest_and_newest() -> list[Path]:
    every = found()
    return every if len(every) < 2 else [every[0], every[-1]]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """One binary against one cluster, in one namespace."""

    binary: Path
    kubeconfig: Path
    cache: Path
    namespace: str = "default"

    def run(
        self, *words: str, input: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        command = [str(self.binary), f"--cache-dir={self.cache}", f"--namespace={self.namespace}", *words]
        return subprocess.run(
            command,
            env=environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def __call__(self, *words: str, input: str | None = None, timeout_s: float = TIMEOUT_S) -> str:
        """What it prints; a failure is the test's, with kubectl's own words."""
        done = self.run(*words, input=input, timeout_s=timeout_s)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr or done.stdout}"
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "-o", "json"))
