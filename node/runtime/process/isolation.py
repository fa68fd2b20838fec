"""What separates a pod from the host here, and what of the host it must never see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SECRET_FILES = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers")
SECRET_PATTERNS = ("etc/ssh/ssh_host_*_key", "etc/ssl/private")
SECRET_OF_HOMES = (".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".config/gcloud", ".netrc")


@dataclass(frozen=True, slots=True)
class Isolation:
    isolated: bool  # pods have namespaces and a file tree of their own
    own_user_namespace: bool = False  # each pod has to make one
    user_namespace: bool = False  # pods live in one, where only one user exists
    reason: str = ""  # why not isolated

    def __str__(self) -> str:
        if not self.isolated:
            return f"pods are not isolated from the host: {self.reason}"
        if self.user_namespace:
            return "pods have their own namespaces inside a user namespace"
        return "pods have their own namespaces"


def hidden_paths(state: Iterable[Path]) -> list[str]:
    """Host paths that no pod may read, resolved: the state directories and the keys of the host's users."""
    homes = [Path.home(), Path("/root"), *Path("/home").glob("*")]
    candidates = [*state, *map(Path, SECRET_FILES)]
    for pattern in SECRET_PATTERNS:
        candidates += Path("/").glob(pattern)
    candidates += [home / name for home in homes for name in SECRET_OF_HOMES]
    return list(dict.fromkeys(str(path.resolve()) for path in candidates if _exists(path)))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
