"""One container of a pod, as its shim holds it: process, pipes, log, record.

    created ──start──> running ──the process ends──> exited
       └── cannot be started ──> exited (128, StartError)

The record is `status.json` in the container's directory. An exit is on disk before anyone hears of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from typing import Any

from node.runtime.process.shim.attachment import Attachment, Backlog
from node.runtime.process.shim.launch import EXIT_START_ERROR
from node.runtime.process.shim.logs import LineSplitter, LogFile

READ_BYTES = 64 * 1024
TERMINAL_DRAIN_S = 0.1
DRAIN_READS = 256  # of each pipe after the process ended: others may hold it open and write on


def write_record(path: str, record: dict[str, Any], durable: bool) -> None:
    """Replace the file as one; `durable` also survives the machine."""
    temporary = path + ".tmp"
    with open(temporary, "w") as file:
        json.dump(record, file)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.rename(temporary, path)
    if durable:
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class Container:
    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.id = os.path.basename(directory)
        with open(directory + "/spec.json") as file:
            self.spec: dict[str, Any] = json.load(file)
        self.log = LogFile(self.spec["log_path"])
        self.pid = 0
        self.readers: dict[int, tuple[str, LineSplitter]] = {}  # pipe -> stream
        self.stdin = -1  # the writing end, when the container wants one; of a terminal, its master
        self.attachments: list[Attachment] = []
        self.is_held = False  # its output is not read: somebody attached is behind
        self._backlog = Backlog(self.spec["stdin"])
        self.killed_for = 0  # the signal whose default action we carried out
        self.status: dict[str, Any] = {
            "id": self.id,
            "state": "created",
            "pid": 0,
            "started_at_ns": 0,
            "finished_at_ns": 0,
            "exit_code": 0,
            "reason": "",
            "message": "",
        }

    @property
    def running(self) -> bool:
        return bool(self.status["state"] == "running")

    def open_pipes(self) -> tuple[int, int, int]:
        """Make the standard streams; returns the container's ends."""
        if self.spec["stdin"]:
            stdin, self.stdin = os.pipe()
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        ends = [stdin]
        for stream in ("stdout", "stderr"):
            reader, writer = os.pipe()
            os.set_blocking(reader, False)
            self.readers[reader] = (stream, LineSplitter())
            ends.append(writer)
        return ends[0], ends[1], ends[2]

    def take_terminal(self, master: int) -> None:
        """The container's streams are a terminal: one reader, and what is written to it is its input."""
        self.readers[master] = ("stdout", LineSplitter())
        if self.spec["stdin"]:
            self.stdin = os.dup(master)

    def attach(self, attachment: Attachment) -> None:
        self.attachments.append(attachment)
        for stream, data in self._backlog.take():
            attachment.feed(stream, data)

    def started(self, pid: int) -> None:
        self.pid = pid
        self.status |= {"state": "running", "pid": pid, "started_at_ns": time.time_ns()}
        self.save(durable=False)

    def failed_to_start(self, message: str) -> None:
        now = time.time_ns()
        self.status |= {
            "state": "exited",
            "started_at_ns": now,
            "finished_at_ns": now,
            "exit_code": EXIT_START_ERROR,
            "reason": "StartError",
            "message": message,
        }
        self.close()
        self.save(durable=True)

    def exited(self, wait_status: int, oom_killed: bool) -> None:
        for fd in list(self.readers):
            for _ in range(DRAIN_READS):
                if self.spec["tty"]:  # the kernel hands on a terminal's last output a little later
                    select.select([fd], [], [], TERMINAL_DRAIN_S)
                if not self.read(fd):
                    break
        code = os.waitstatus_to_exitcode(wait_status)
        if code == -signal.SIGKILL and self.killed_for:
            code = -self.killed_for
        exit_code = 128 - code if code < 0 else code
        reason = "OOMKilled" if oom_killed and code else "Error" if code else "Completed"
        self.status |= {
            "state": "exited",
            "pid": 0,
            "finished_at_ns": time.time_ns(),
            "exit_code": exit_code,
            "reason": reason,
        }
        self.close()
        self.save(durable=True)

    def read(self, fd: int) -> bool:
        """Move what a pipe holds into the log; False when there is nothing now or for ever."""
        stream, splitter = self.readers[fd]
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the other side of a terminal is gone
            data = b""
        if data:
            self.log.write(stream, splitter.feed(data), time.time_ns())
            if not self.attachments:
                self._backlog.add(stream, data)
            for attachment in self.attachments:
                attachment.feed(stream, data)
            return True
        self._close_reader(fd)
        return False

    def close(self) -> None:
        for fd in list(self.readers):
            self._close_reader(fd)
        self.close_stdin()
        self.log.close()

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def save(self, durable: bool) -> None:
        with contextlib.suppress(OSError):  # a full disk must not cost us the process; memory still knows
            write_record(self.directory + "/status.json", self.status, durable)

    def _close_reader(self, fd: int) -> None:
        stream, splitter = self.readers.pop(fd)
        self.log.write(stream, splitter.flush(), time.time_ns())
        os.close(fd)
