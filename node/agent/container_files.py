"""What the agent keeps on disk for a container: its log, and the file for its last words.

<log root>/<namespace>_<pod>_<uid>/<container>/<attempt>.log
<root>/pods/<uid>/containers/<container>/<attempt>/termination-log
"""

from __future__ import annotations

import shutil
from pathlib import Path

from node.agent import cri_log
from node.agent.pod_spec import Obj, name, namespace, uid
from node.runtime.interface import ContainerStatus, Mount

MAX_MESSAGE_BYTES = 4096
FALLBACK_LINES = 80
FALLBACK_BYTES = 2048
DEFAULT_MESSAGE_PATH = "/dev/termination-log"


def log_directory(log_root: Path, pod: Obj) -> Path:
    return log_root / f"{namespace(pod)}_{name(pod)}_{uid(pod)}"


def message_file(pod_directory: Path, container_name: str, attempt: int) -> Path:
    return pod_directory / "containers" / container_name / str(attempt) / "termination-log"


def prepare_message(pod_directory: Path, container: Obj, attempt: int) -> Mount:
    """An empty file, mounted where the container may leave its last words."""
    path = message_file(pod_directory, container["name"], attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o666)
    path.chmod(0o666)
    return Mount(container.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH, str(path))


def last_words(pod_directory: Path, container: Obj, ended: ContainerStatus) -> str:
    """The termination message: the file's, or the end of the log where the policy says so and it failed."""
    path = message_file(pod_directory, container["name"], ended.config.attempt)
    text = _read(path)
    if text:
        return text
    if container.get("terminationMessagePolicy") == "FallbackToLogsOnError" and ended.exit_code:
        return cri_log.tail_text(Path(ended.log_path), FALLBACK_LINES, FALLBACK_BYTES)
    return ""


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_MESSAGE_BYTES).decode(errors="replace")
    except OSError:
        return ""


def remove_attempt(pod_directory: Path, dead: ContainerStatus) -> None:
    """A container that was collected takes its log and its message with it."""
    path = message_file(pod_directory, dead.config.name, dead.config.attempt)
    shutil.rmtree(path.parent, ignore_errors=True)
    if dead.log_path:
        log = Path(dead.log_path)
        for each in log.parent.glob(f"{log.name}*"):
            each.unlink(missing_ok=True)


def remove_logs(log_root: Path, pod: Obj) -> None:
    shutil.rmtree(log_directory(log_root, pod), ignore_errors=True)
