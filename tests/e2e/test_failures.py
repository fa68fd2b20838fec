"""Parts of the cluster are killed under load; what was acknowledged stays, and work goes on."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import pytest

from tests.e2e.conftest import Cluster, until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


@dataclass
class Writer:
    """Creates configmaps one after another with kubectl; knows which were acknowledged, and when."""

    kubectl: Kubectl
    acknowledged: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __enter__(self) -> Writer:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"cm-{number}"
            done = self.kubectl.run("create", "configmap", name, f"--from-literal=n={number}")
            if done.returncode == 0:
                self.acknowledged.append(name)
                self.times.append(time.monotonic())
            else:
                self.refused.append(done.stderr)

    def wait_for(self, count: int) -> None:
        target = len(self.acknowledged) + count
        until(f"{count} more writes", lambda: len(self.acknowledged) >= target)

    def check(self) -> None:
        """Every acknowledged object is there, once, with its own data."""
        items = self.kubectl.json("get", "configmaps")["items"]
        found = {each["metadata"]["name"]: each["data"]["n"] for each in items if "n" in each["data"]}
        assert [name for name in self.acknowledged if found.get(name) != name.removeprefix("cm-")] == []
        assert len(items) == len({each["metadata"]["uid"] for each in items})


def until_running_again(cluster: Cluster, name: str, before: int) -> None:
    until(f"{name} runs again", lambda: cluster.process(name)["restarts"] > before)
    until(f"{name} is up", lambda: cluster.process(name)["state"] == "running")


@pytest.mark.parametrize("victim", ["store", "apiserver-1", "apiserver-2"])
def test_writes_go_on_while_a_process_is_killed(cluster: Cluster, newest: Kubectl, victim: str) -> None:
    name = cluster.leader("store") if victim == "store" else victim
    before = cluster.process(name)["restarts"]
    with Writer(newest) as writer:
        writer.wait_for(5)
        cluster.balsa("kill", name)
        writer.wait_for(10)
        until_running_again(cluster, name, before)
        writer.wait_for(5)
    writer.check()


def test_the_killed_leader_comes_back_and_catches_up(cluster: Cluster, newest: Kubectl) -> None:
    name = cluster.leader("store")
    output = cluster.balsa("kill", "store", "--leader")
    assert output.startswith(f"killed {name} ")
    newest("create", "configmap", "after", "--from-literal=a=b")
    until("another leader", lambda: cluster.leader("store") != name)
    until("it runs again", lambda: cluster.process(name)["state"] == "running")


@pytest.mark.parametrize("component", ["scheduler", "controller-manager"])
def test_the_standby_takes_over(cluster: Cluster, newest: Kubectl, component: str) -> None:
    before = cluster.leader(component)
    cluster.balsa("kill", component, "--leader")
    newest("create", "deployment", "web", "--image=x", "--replicas=2", "--", "sleep", "1000")
    newest("rollout", "status", "deployment/web", "--timeout=30s")
    assert cluster.leader(component) != before or cluster.process(before)["restarts"] > 0


def test_a_restarted_node_agent_adopts_its_pods(cluster: Cluster, newest: Kubectl) -> None:
    newest(
        "run",
        "steady",
        "--image=x",
        "--command",
        "--",
        "sh",
        "-c",
        "echo $$; while sleep 0.2; do echo tick; done",
    )
    newest("wait", "--for=condition=Ready", "pod/steady", "--timeout=30s")
    node = newest.json("get", "pod", "steady")["spec"]["nodeName"]
    before = cluster.process(node)["restarts"]
    cluster.balsa("kill", node)
    until_running_again(cluster, node, before)
    ticks = newest("logs", "steady").count("tick")
    until("it ticks on", lambda: newest.run("logs", "steady").stdout.count("tick") > ticks + 5)
    status = newest.json("get", "pod", "steady")["status"]["containerStatuses"][0]
    assert (status["restartCount"], "running" in status["state"]) == (0, True)


def test_everything_dies_at_once_and_all_data_is_there_again(cluster: Cluster, newest: Kubectl) -> None:
    with Writer(newest) as writer:
        writer.wait_for(10)
        cluster.balsa("kill", "all")
        until("the cluster answers again", lambda: newest.run("get", "nodes").returncode == 0)
        writer.wait_for(5)
    writer.check()


def test_down_and_up_again_keep_everything(cluster: Cluster, newest: Kubectl) -> None:
    newest("create", "deployment", "kept", "--image=x", "--replicas=1", "--", "sleep", "1000")
    newest("rollout", "status", "deployment/kept", "--timeout=30s")
    cluster.balsa("down")
    assert "no cluster is running" in cluster.balsa("status", check=False)
    cluster.balsa("up")
    newest("rollout", "status", "deployment/kept", "--timeout=30s")
    until("its pod runs", lambda: newest.json("get", "pods")["items"][0]["status"]["phase"] == "Running")


def test_a_second_up_is_refused_in_one_line(cluster: Cluster) -> None:
    output = cluster.balsa("up", check=False)
    assert "is running already" in output.splitlines()[-1]
    assert cluster.status()["processes"]
