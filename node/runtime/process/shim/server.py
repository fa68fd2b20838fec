"""The pod's shim: one single-threaded loop over its socket, its children's pipes and their deaths.

Requests and answers are one JSON object per message of a SOCK_SEQPACKET connection:

    start {cid}                          -> {status}                  when the program runs (exec succeeded)
    stop {cid, signal, timeout_s}        -> {status}                  when the container has ended
    signal {cid, signal}                 -> {}
    update {cid, cgroups}                -> {}                        other limits, while it runs
    exec {cid, argv, tty} + 3 fds        -> {exit_code}               when it has ended; hanging up kills it
         with tty, without fds           -> {started} + the terminal's master, then {exit_code}
    attach {cid, stdin, outputs} + fds   -> {attached} + where to write input, then {ended} with the container
    close_stdin {cid}                    -> nothing: the attached client sends no more (stdin_once)
    forget {cid}                         -> {}                        an ended container leaves the table
    subscribe {}                         -> {status: ...} for every container now and after each change
    shutdown {}                          -> {}                        kill everything and exit

or {kind, error}. The shim ends with `shutdown`, with its lifeline (the process that holds the cluster's
namespaces: without it the pod has no network), or with SIGTERM; its containers never outlive it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
import traceback
from typing import Any

from node.runtime.process.shim import cgroups, processes
from node.runtime.process.shim.attachment import Attachment
from node.runtime.process.shim.clients import Clients, Refused
from node.runtime.process.shim.container import Container
from node.runtime.process.shim.launch import LaunchError
from node.runtime.process.shim.output_watch import OutputWatch

STALL_CHECK_S = 1.0  # whether somebody attached takes output at all
RECHECK_S = 0.02  # whether a signal that was blocked has been taken
KILL_WAIT_S = 5.0  # for what was sent SIGKILL to be gone, at shutdown


class Shim:
    def __init__(self, directory: str, listener: socket.socket, pause_pid: int, lifeline: int) -> None:
        self.directory = directory
        self.pause_pid = pause_pid
        self.lifeline = lifeline
        self.containers: dict[str, Container] = {}
        self.execs: dict[int, tuple[socket.socket, str]] = {}  # pid -> who waits, container
        self.stops: list[tuple[socket.socket, str]] = []  # who waits for which container's end
        self.deadlines: dict[str, float] = {}  # container -> when SIGKILL is due
        self.blocked: dict[str, int] = {}  # container -> the signal it was sent while it blocked it
        self.subscribers: set[socket.socket] = set()
        self.selector = selectors.DefaultSelector()
        self.clients = Clients(listener, self.selector, self._dispatch, self._client_gone)
        self.output = OutputWatch(self.selector)
        self.stopping = False
        self.wake_reader = -1  # a byte for each signal

    def run(self) -> None:
        self.wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        os.set_blocking(self.wake_reader, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopping", True))
        register = self.selector.register
        register(self.wake_reader, selectors.EVENT_READ, self._drain)
        register(self.clients.listener, selectors.EVENT_READ, self.clients.accept)
        if self.lifeline >= 0:
            register(self.lifeline, selectors.EVENT_READ, lambda: setattr(self, "stopping", True))
        self._reap()
        while not self.stopping:
            for key, _ in self.selector.select(self._next_deadline_s()):
                self._handle(key)
            self._look_again()
            for container in self.containers.values():
                self.output.drop_stalled(container)
            self._kill_overdue()
        self._shut_down()

    def _handle(self, key: selectors.SelectorKey) -> None:
        """A defect in handling one descriptor costs that descriptor, not the pod."""
        try:
            key.data()
        except Exception:
            os.write(2, traceback.format_exc().encode())
            is_ours = key.fileobj is self.clients.listener or key.fd in (self.wake_reader, self.lifeline)
            if not is_ours and key.fd in self.selector.get_map():
                self.selector.unregister(key.fileobj)

    # requests

    def _dispatch(
        self, client: socket.socket, request: dict[str, Any], fds: list[int]
    ) -> dict[str, Any] | None:
        answer: dict[str, Any] | None = getattr(self, "_do_" + request["op"])(client, request, fds)
        return answer

    def _client_gone(self, client: socket.socket) -> None:
        self.subscribers.discard(client)
        self.stops = [(waiting, cid) for waiting, cid in self.stops if waiting is not client]
        for container in self.containers.values():
            for attachment in [each for each in container.attachments if each.client is client]:
                self.output.detach(container, attachment)
        for pid, (waiting, _) in list(self.execs.items()):
            if waiting is client:
                processes.kill_tree(pid)

    def _container(self, request: dict[str, Any]) -> Container:
        try:
            return self.containers[request["cid"]]
        except KeyError:
            raise Refused("NotFound", f"no container {request['cid']}") from None

    def _do_start(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        cid = request["cid"]
        if cid in self.containers:
            raise Refused("StartError", f"container {cid} has been started before")
        container = Container(f"{self.directory}/containers/{cid}")
        self.containers[cid] = container
        try:
            cgroups.create(container.spec["cgroups"])
            pid = processes.start_container(container, self.directory + "/shm", self.pause_pid)
        except (LaunchError, OSError) as error:
            message = str(error)
            container.failed_to_start(message)
            cgroups.remove(container.spec["cgroups"])
            self._publish(container)
            raise Refused(getattr(error, "kind", "CreateError"), message) from error
        container.started(pid)
        self.output.start(container)
        self._publish(container)
        return {"status": container.status}

    def _do_stop(
        self, client: socket.socket, request: dict[str, Any], fds: list[int]
    ) -> dict[str, Any] | None:
        container = self._container(request)
        if not container.running:
            return {"status": container.status}
        self.stops.append((client, container.id))
        deadline = time.monotonic() + request["timeout_s"]
        self.deadlines[container.id] = min(deadline, self.deadlines.get(container.id, deadline))
        if request["timeout_s"] > 0:
            self._signal(container, request["signal"])
        return None

    def _do_signal(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        container = self._container(request)
        if container.running:
            self._signal(container, request["signal"])
        return {}

    def _do_update(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        container = self._container(request)
        if not container.running:
            raise Refused("NotRunning", "the container is not running")
        try:
            processes.change_limits(container, request["cgroups"])
        except cgroups.BelowUsage as error:
            raise Refused("BelowUsage", str(error)) from error
        except OSError as error:
            raise Refused("UpdateError", f"cannot change its limits: {error}") from error
        return {}

    def _signal(self, container: Container, number: int) -> None:
        if processes.signal_or_default(container, number):
            self.blocked[container.id] = number

    def _do_exec(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
        container = self._container(request)
        if not container.running:
            raise Refused("NotRunning", "the container is not running")
        if len(fds) != (0 if request["tty"] else 3):
            raise Refused("Internal", "exec needs three file descriptors, or none and a terminal")
        stdio = processes.NO_STDIO if request["tty"] else (fds[0], fds[1], fds[2])
        pid, master = processes.start_exec(container, request, stdio)
        self.execs[pid] = (client, container.id)
        if master >= 0:
            self.clients.answer(client, {"started": True}, (master,))
            os.close(master)

    def _do_attach(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
        container = self._container(request)
        if not container.running:
            raise Refused("NotRunning", "the container is not running")
        outputs = dict(zip(request["outputs"], [os.dup(fd) for fd in fds], strict=True))
        has_stdin = request["stdin"] and container.stdin >= 0
        attachment = Attachment(client, outputs, has_stdin)
        container.attach(attachment)
        self.clients.answer(client, {"attached": True}, (container.stdin,) if has_stdin else ())
        self.output.update(container)

    def _do_close_stdin(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
        container = self.containers.get(request["cid"])
        if container is not None and container.spec.get("stdin_once"):
            container.close_stdin()

    def _do_forget(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        container = self.containers.get(request["cid"])
        if container is not None and container.running:
            raise Refused("Running", "the container is running")
        self.containers.pop(request["cid"], None)
        return {}

    def _do_subscribe(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
        self.subscribers.add(client)
        for container in self.containers.values():
            self.clients.answer(client, {"status": container.status})
        self.clients.answer(client, {"synced": True})

    def _do_shutdown(self, client: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
        self._shut_down()
        self.clients.answer(client, {})
        self.stopping = True

    # children

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_reader, 4096)
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        if pid in self.execs:
            client, _ = self.execs.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            self.clients.answer(client, {"exit_code": 128 - code if code < 0 else code})
            return
        for container in self.containers.values():
            if container.running and container.pid == pid:
                self._container_ended(container, status)
                return
        if pid == self.pause_pid:
            self.stopping = True
        # Anything else is an orphan of a container, or a helper that has done its work.

    def _container_ended(self, container: Container, status: int) -> None:
        if not container.spec["isolated"]:
            processes.kill_everything(container)
        self.output.stop(container)
        container.exited(status, cgroups.oom_killed(container.spec["cgroups"]))
        cgroups.remove(container.spec["cgroups"])
        self.deadlines.pop(container.id, None)
        for attachment in container.attachments:
            self.clients.answer(attachment.client, {"ended": True})
            attachment.has_stdin = False
            attachment.end()
        self.output.update(container)
        self._publish(container)
        waiting = [client for client, cid in self.stops if cid == container.id]
        self.stops = [(client, cid) for client, cid in self.stops if cid != container.id]
        for client in waiting:
            self.clients.answer(client, {"status": container.status})

    def _publish(self, container: Container) -> None:
        for client in list(self.subscribers):
            self.clients.answer(client, {"status": container.status})

    # time and end

    def _next_deadline_s(self) -> float | None:
        if self.blocked:
            return RECHECK_S
        if any(container.is_held for container in self.containers.values()):
            return STALL_CHECK_S
        if not self.deadlines:
            return None
        return max(min(self.deadlines.values()) - time.monotonic(), 0.0)

    def _look_again(self) -> None:
        for cid, number in list(self.blocked.items()):
            container = self.containers.get(cid)
            if container is None or not container.running or not processes.recheck(container, number):
                del self.blocked[cid]

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for cid, deadline in list(self.deadlines.items()):
            if deadline <= now:
                del self.deadlines[cid]
                if self.containers[cid].running:
                    processes.kill_everything(self.containers[cid])

    def _shut_down(self) -> None:
        running = [container for container in self.containers.values() if container.running]
        for container in running:
            processes.kill_everything(container)
        deadline = time.monotonic() + KILL_WAIT_S
        while any(container.running for container in running) and time.monotonic() < deadline:
            signal.sigtimedwait((signal.SIGCHLD,), 0.01)
            self._reap()
        if self.pause_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pause_pid, signal.SIGKILL)
        for pid in processes.descendants(os.getpid()):  # orphans that were handed to us
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
