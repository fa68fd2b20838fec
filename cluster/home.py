"""The state directory: where everything of one cluster lives, and the lock that says it is running.

.balsa/cluster.json        what the cluster is made of, and its ports: stays the same over restarts
.balsa/kubeconfig          the administrator's
.balsa/pki/                authorities, leaves, service-account key
.balsa/store/<member>/     write-ahead log and snapshots
.balsa/nodes/<node>/       pods, volumes
.balsa/images/             what names of images stand for, for all nodes
.balsa/logs/<process>.log
.balsa/control.sock        the supervisor listens here
.balsa/lock                held (flock) by the supervisor as long as it lives; its pid is inside
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cluster.errors import AlreadyRunning, ClusterError

HOME_VARIABLE = "BALSA_HOME"
DEFAULT_NAME = ".balsa"
UNIX_PATH_LIMIT_BYTES = 107


class Home:
    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.spec = self.root / "cluster.json"
        self.kubeconfig = self.root / "kubeconfig"
        self.pki = self.root / "pki"
        self.stores = self.root / "store"
        self.nodes = self.root / "nodes"
        self.images = self.root / "images"
        self.logs = self.root / "logs"
        self.control = self.root / "control.sock"
        self.lock = self.root / "lock"

    @classmethod
    def resolve(cls) -> Home:
        """`$BALSA_HOME`, else `.balsa` of the working directory."""
        return cls(Path(os.environ.get(HOME_VARIABLE) or DEFAULT_NAME))

    def create(self) -> None:
        """Make the directories, closed to other users. Raises ClusterError."""
        if len(os.fsencode(self.control)) > UNIX_PATH_LIMIT_BYTES:
            raise ClusterError(
                f"the path {self.control} is too long for a socket; set ${HOME_VARIABLE} to a shorter one"
            )
        try:
            for path in (self.root, self.pki, self.stores, self.nodes, self.logs):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ClusterError(f"cannot use {self.root} as the state directory: {error.strerror}") from error

    def take_lock(self) -> int:
        """Hold the lock; return its descriptor, which must stay open. Raises AlreadyRunning."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunning(
                f"the cluster in {self.root} is running already (supervisor pid {self.supervisor_pid()}); "
                "`balsa status` shows it, `balsa down` stops it"
            ) from None
        return descriptor

    def is_still(self, lock: int) -> bool:
        """Whether this is the directory in which `lock` was taken: it may have been removed, or made anew."""
        try:
            return os.path.samestat(os.fstat(lock), self.lock.stat())
        except OSError:
            return False

    def is_running(self) -> bool:
        if not self.lock.exists():
            return False
        try:
            os.close(self.take_lock())
        except AlreadyRunning:
            return True
        return False

    def supervisor_pid(self) -> int:
        """0 when none is known."""
        try:
            return int(self.lock.read_text() or 0)
        except (OSError, ValueError):
            return 0

    def log_of(self, process: str) -> Path:
        return self.logs / f"{process}.log"
