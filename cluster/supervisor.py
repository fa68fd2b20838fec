"""The supervisor: starts what the plan says, restarts what dies, answers the control socket, ends everything.

It is one thread around one selector, with neither an event loop nor a lock, so that it may fork at any time.
A process that dies is started again at once the first time, then after a delay that doubles from
`RESTART_DELAY_S` to `RESTART_DELAY_LIMIT_S`; one that has run for `STABLE_S` starts with no delay again.
It holds the sockets that several processes accept on, so that a connection waits in the kernel while one of
them is being replaced.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cluster import control, fork, process_table
from cluster.errors import ClusterError, NoSuchProcess
from cluster.home import Home
from cluster.plan import Process
from store.component import logs

RESTART_DELAY_S = 0.1
RESTART_DELAY_LIMIT_S = 10.0
STABLE_S = 30.0
STOP_GRACE_S = 10.0
HOUSEKEEPING_S = 30.0
LOG_SIZE_LIMIT_BYTES = 16 * 1024 * 1024

log = logs.get("supervisor")


class State(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(slots=True)
class Child:
    process: Process
    state: State = State.STOPPED
    pid: int = 0
    restarts: int = 0
    started_at: float = 0.0
    delay_s: float = 0.0
    due: float = 0.0  # when restarting
    last_exit: str = ""


@dataclass(slots=True)
class Supervisor:
    home: Home
    children: dict[str, Child]
    sockets: dict[str, socket.socket]
    facts: dict[str, Any]  # shown by status: network mode, why, …
    exec_: bool = False
    housekeeping: Callable[[], None] = lambda: None
    is_at_home: Callable[[], bool] = lambda: True  # the state directory is still the one it started in
    stopping: bool = False
    hurried: bool = False
    wakeup: socket.socket = field(init=False)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def run(self) -> None:
        """Until told to stop by a signal or the control socket."""
        fork.become_subreaper()
        self.wakeup = self._listen_for_signals()
        listener = control.listen(self.home)
        self.selector.register(listener, selectors.EVENT_READ)
        self.selector.register(self.wakeup, selectors.EVENT_READ)
        tidy_at = time.monotonic() + HOUSEKEEPING_S
        for child in self.children.values():
            self._start(child)
        while not self.stopping:
            now = time.monotonic()
            if now >= tidy_at:
                self._tidy()
                tidy_at = now + HOUSEKEEPING_S
            self._wait(min(self._next_due(), tidy_at) - now)
            control.serve_one(listener, self._handle)
            self._start_due()
        self._stop_all()
        listener.close()
        if self.is_at_home():
            self.home.control.unlink(missing_ok=True)

    def _wait(self, timeout_s: float) -> None:
        """Until a signal, a control connection or the timeout; then reap."""
        self.selector.select(max(0.0, timeout_s))
        with contextlib.suppress(BlockingIOError):
            self.wakeup.recv(4096)
        self._reap()

    def _listen_for_signals(self) -> socket.socket:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop_signal)
        return reader

    def _on_stop_signal(self, *_: object) -> None:
        """A second one is from somebody who does not want to wait."""
        self.hurried = self.stopping
        self.stopping = True

    # Starting and restarting

    def _start(self, child: Child) -> None:
        process = child.process
        passed = [self.sockets[name].fileno() for name in process.listen if name in self.sockets]
        argv = [*process.argv, *(f"--listen-fd={descriptor}" for descriptor in passed)]
        child.pid = fork.start(
            process.component,
            argv,
            self.home.log_of(process.name),
            passed,
            title=process.name,
            exec_=self.exec_,
        )
        child.state, child.started_at = State.RUNNING, time.monotonic()

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self.children.values():
            if child.state is State.RESTARTING and child.due <= now and not self.stopping:
                child.restarts += 1
                self._start(child)

    def _next_due(self) -> float:
        due = [child.due for child in self.children.values() if child.state is State.RESTARTING]
        return min(due, default=time.monotonic() + HOUSEKEEPING_S)

    def _reap(self) -> None:
        by_pid = {child.pid: child for child in self.children.values() if child.pid}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in by_pid:
                self._died(by_pid[pid], status)

    def _died(self, child: Child, status: int) -> None:
        child.last_exit, child.pid = _describe(status), 0
        if self.stopping:
            child.state = State.STOPPED
            return
        now = time.monotonic()
        stable = now - child.started_at >= STABLE_S or child.restarts == 0
        child.delay_s = 0.0 if stable else min(max(child.delay_s * 2, RESTART_DELAY_S), RESTART_DELAY_LIMIT_S)
        child.state, child.due = State.RESTARTING, now + child.delay_s
        log.warning(
            "process ended", process=child.process.name, how=child.last_exit, restart_in_s=child.delay_s
        )

    # The control socket

    def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("op"):
            case "status":
                return {**self.facts, "processes": [self._show(each) for each in self.children.values()]}
            case "signal":
                return self._signal(str(request.get("process")), str(request.get("signal")))
            case "stop":
                self.stopping = True
                return {}
            case other:
                raise ClusterError(f"unknown operation {other!r}")

    def _show(self, child: Child) -> dict[str, Any]:
        return {
            **child.process.as_json(),
            "state": child.state,
            "pid": child.pid,
            "restarts": child.restarts,
            "uptime_s": round(time.monotonic() - child.started_at, 1) if child.pid else 0,
            "last_exit": child.last_exit,
        }

    def _signal(self, name: str, text: str) -> dict[str, Any]:
        child = self.children.get(name)
        if child is None:
            raise NoSuchProcess(f"there is no process {name!r}; `balsa status` lists them")
        if not child.pid:
            raise NoSuchProcess(f"{name} is not running now ({child.state})")
        number = signal.Signals[text]
        os.kill(child.pid, number)
        if number is signal.SIGSTOP:
            child.state = State.PAUSED
        elif number is signal.SIGCONT:
            child.state = State.RUNNING
        log.info("signalled", process=name, signal=text)
        return {"pid": child.pid}

    # Ending

    def _stop_all(self) -> None:
        """Agents and loops first, then what they speak to, the store last."""
        self.stopping = True
        order: Sequence[set[str]] = (
            {"node", "hollow-node", "scheduler", "controller-manager"},
            {"apiserver"},
            {"store"},
        )
        for components in order:
            self._stop([child for child in self.children.values() if child.process.component in components])
        process_table.kill_descendants(os.getpid())
        log.info("stopped")

    def _stop(self, children: list[Child]) -> None:
        for child in children:
            if child.pid:
                os.kill(child.pid, signal.SIGCONT)
                os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        while any(child.pid for child in children) and time.monotonic() < deadline and not self.hurried:
            self._wait(0.05)
        for child in children:
            if child.pid:
                log.warning("did not stop in time", process=child.process.name)
                os.kill(child.pid, signal.SIGKILL)

    # Housekeeping

    def _tidy(self) -> None:
        if not self.is_at_home():
            log.error("the state directory is gone: stopping", directory=self.home.root)
            self.stopping = True
            return
        for child in self.children.values():
            _bound_log(self.home, child.process.name)
        _bound_log(self.home, "supervisor")
        self.housekeeping()


def _bound_log(home: Home, name: str) -> None:
    """Keep the last part of a log that has grown too long. Writers append, so they go on at the new end."""
    path = home.log_of(name)
    try:
        if path.stat().st_size > LOG_SIZE_LIMIT_BYTES:
            path.with_suffix(".log.1").write_bytes(path.read_bytes())
            os.truncate(path, 0)
    except OSError as error:
        log.warning("cannot rotate a log", path=path, error=error)


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit {os.WEXITSTATUS(status)}"
