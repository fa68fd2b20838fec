"""A replica is restarted under its clients: they are told in time, nothing is cut, nothing is missed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from tests.control_plane.apiserver.harness import STOP_TIMEOUT_S, Harness, kubectls, stop

PATH = "/api/v1/namespaces/default/configmaps"
DEADLINE_S = 15.0


class Shared(Harness):
    """Replicas behind one listening socket, as the supervisor runs them."""

    def __init__(self, directory: Path, *flags: str) -> None:
        super().__init__(directory, *flags)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.server = f"https://127.0.0.1:{self.port}"
        self._flags = (*self._flags, f"--listen-fd={self.socket.fileno()}")

    def __exit__(self, *problem: object) -> None:
        super().__exit__(*problem)
        self.socket.close()

    def _spawn(self, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, pass_fds=(self.socket.fileno(),))
        self._processes.append(process)
        return process


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    with Shared(tmp_path) as harness:
        yield harness


def until(condition: Callable[[], Any]) -> Any:
    ends = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.02)
    return found


def create(api: Harness, name: str) -> None:
    api.create(PATH, {"metadata": {"name": name}})


def test_readiness_goes_first_and_watches_go_on_for_the_delay(tmp_path: Path) -> None:
    with Harness(tmp_path, "--shutdown-delay-duration=2s") as api, closing(api.connection()) as connection:
        connection.request("GET", PATH + "?watch=true&allowWatchBookmarks=true")
        response = connection.getresponse()
        assert api.api_process is not None
        api.api_process.send_signal(signal.SIGTERM)
        until(lambda: api.request("GET", "/readyz").status == 500)
        assert "[-]shutdown failed" in api.request("GET", "/readyz?verbose").raw.decode()
        assert api.request("GET", "/livez").status == 200
        create(api, "late")
        names = [json.loads(line) for line in response.read().splitlines()]
        assert [each["type"] for each in names][-2:] == ["ADDED", "BOOKMARK"]
        assert names[-2]["object"]["metadata"]["name"] == "late"
        last = int(names[-1]["object"]["metadata"]["resourceVersion"])
        assert last >= int(names[-2]["object"]["metadata"]["resourceVersion"])
        assert api.api_process.wait(STOP_TIMEOUT_S) == 0


def test_a_request_under_way_is_finished(tmp_path: Path) -> None:
    with Harness(tmp_path) as api:
        answers: list[int] = []
        api.pause_store()
        writer = threading.Thread(
            target=lambda: answers.append(api.request("POST", PATH, {"metadata": {"name": "a"}}).status)
        )
        writer.start()
        try:
            until(lambda: under_way(api))
            assert api.api_process is not None
            api.api_process.send_signal(signal.SIGTERM)
            until(lambda: "the server is stopping" in log_of(api) or refused(api))
        finally:
            api.resume_store()
        writer.join(DEADLINE_S)
        assert answers == [201]
        assert api.api_process.wait(STOP_TIMEOUT_S) == 0


def under_way(api: Harness) -> bool:
    text = api.request("GET", "/metrics").raw.decode()
    return 'apiserver_current_inflight_requests{request_kind="mutating"} 1.0' in text


def log_of(api: Harness) -> str:
    return (api.directory / "apiserver.log").read_text()


def refused(api: Harness) -> bool:
    try:
        return api.request("GET", "/livez").status != 200
    except OSError:
        return True


def test_the_python_client_watches_across_a_restart(shared: Shared) -> None:
    """Its watch comes back by itself to the other replica, and goes on where it was."""
    configuration = kubernetes.client.Configuration()
    config_file = str(shared.directory / "pki" / "admin.kubeconfig")
    kubernetes.config.load_kube_config(config_file, client_configuration=configuration)
    seen: list[str] = []
    problems: list[Exception] = []
    watch = kubernetes.watch.Watch()

    def follow() -> None:
        with kubernetes.client.ApiClient(configuration) as client:
            core = kubernetes.client.CoreV1Api(client)
            version = core.list_namespaced_config_map("default").metadata.resource_version
            started.set()
            try:
                for event in watch.stream(
                    core.list_namespaced_config_map, "default", resource_version=version
                ):
                    seen.append(f"{event['type']} {event['object'].metadata.name}")
                    if seen[-1] == "ADDED last":
                        watch.stop()
            except Exception as error:
                problems.append(error)

    started = threading.Event()
    first = shared.api_process
    assert first is not None
    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    assert started.wait(DEADLINE_S)
    create(shared, "one")
    until(lambda: "ADDED one" in seen)
    shared.start_api()  # the second replica
    assert stop(first) == 0
    shared.wait_ready()
    for name in ("two", "last"):
        create(shared, name)
    follower.join(DEADLINE_S)
    assert not problems
    assert seen == ["ADDED one", "ADDED two", "ADDED last"]


@pytest.mark.parametrize("binary", kubectls(), ids=lambda path: path.name)
def test_kubectl_hears_of_no_error(shared: Shared, binary: Path) -> None:
    """`kubectl get -w` ends with the server's watch, quietly."""
    first = shared.api_process
    assert first is not None
    environment = {**os.environ, "KUBECONFIG": str(shared.directory / "pki" / "admin.kubeconfig")}
    watching = subprocess.Popen(
        [binary, "get", "configmaps", "-w", "--no-headers"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        until(lambda: metric_of_watches(shared))
        create(shared, "seen")
        assert watching.stdout is not None
        until(lambda: "seen" in watching.stdout.readline())
        shared.start_api()
        assert stop(first) == 0
        _, said = watching.communicate(timeout=DEADLINE_S)
    finally:
        watching.kill()
        watching.wait()
    assert (watching.returncode, said) == (0, "")


def metric_of_watches(api: Harness) -> bool:
    text = api.request("GET", "/metrics").raw.decode()
    lines = [line for line in text.splitlines() if line.startswith("apiserver_longrunning_requests{")]
    return any('resource="configmaps"' in line and line.endswith(" 1.0") for line in lines)
