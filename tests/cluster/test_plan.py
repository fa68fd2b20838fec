"""What a cluster is made of: specification, ports, state directory, plan, targets."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
from pathlib import Path

import pytest

from cluster import cli, commands, pki, plan, ports, targets
from cluster import spec as specs
from cluster.components import COMPONENTS, load
from cluster.errors import AlreadyRunning, ClusterError, NoSuchProcess, NotRunning, PortTaken, StateDamaged
from cluster.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def test_a_specification_is_read_as_it_was_written(home: Home) -> None:
    assert specs.load(home) is None
    spec = specs.create(nodes=2)
    spec.write(home)
    assert specs.load(home) == spec


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="not JSON"),
        pytest.param("[]", id="not an object"),
        pytest.param('{"format": 1}', id="no ports"),
        pytest.param('{"format": 1, "colour": "red"}', id="unknown field"),
        pytest.param('{"format": 99, "ports": {"apiserver": 1}}', id="another format"),
    ],
)
def test_a_damaged_specification_is_one_clear_error(home: Home, text: str) -> None:
    home.spec.write_text(text)
    with pytest.raises(StateDamaged, match=r"cluster\.json"):
        specs.load(home)


def test_the_lock_is_held_by_one(home: Home) -> None:
    lock = home.take_lock()
    os.pwrite(lock, b"4711", 0)
    assert home.is_running()
    with pytest.raises(AlreadyRunning, match="4711"):
        home.take_lock()
    os.close(lock)
    assert not home.is_running()


def test_a_directory_that_was_removed_or_made_anew_is_another(home: Home) -> None:
    lock = home.take_lock()
    assert home.is_still(lock)
    shutil.rmtree(home.root)
    assert not home.is_still(lock)
    home.create()
    other = home.take_lock()
    assert not home.is_still(lock)
    assert home.is_still(other)
    os.close(lock)
    os.close(other)


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="cannot use"):
        Home(tmp_path / "file" / "home").create()
    with pytest.raises(ClusterError, match="too long"):
        Home(tmp_path / ("x" * 120)).create()


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} of the apiserver is taken"):
            ports.check_free(port, "apiserver")
        with pytest.raises(PortTaken):
            ports.listen(port, "apiserver")
    ports.check_free(port, "apiserver")


def test_free_ports_differ_and_can_be_had() -> None:
    found = ports.free_ports(50)
    assert len(set(found)) == 50
    assert set(found) <= set(ports.LASTING)
    with socket.socket() as one:
        one.bind(("127.0.0.1", found[0]))


def test_every_planned_process_has_a_port_and_flags_its_component_takes(home: Home) -> None:
    spec = specs.create(hollow_nodes=5)
    planned = plan.processes(spec, home, lambda _: ("--network=loopback",), ("172.30.0.1", 6443))
    assert len(planned) == 3 + 2 + 3 + 1 + 2 + 2
    used = {process.port for process in planned}
    assert len(used) == len(planned) - 1  # the apiservers share theirs
    assert {process.component for process in planned} == set(COMPONENTS)


def test_components_can_be_loaded() -> None:
    assert all(callable(load(component)) for component in COMPONENTS)


@pytest.mark.parametrize(
    ("number", "expected"), [(1, "10.244.1.0/24"), (3, "10.244.3.0/24"), (255, "10.244.255.0/24")]
)
def test_pod_ranges(number: int, expected: str) -> None:
    assert plan.pod_cidr(specs.ClusterSpec(), number) == expected


def test_pod_ranges_run_out() -> None:
    with pytest.raises(ValueError, match="no range left"):
        plan.pod_cidr(specs.ClusterSpec(), 256)


def test_certificates_are_made_once(home: Home) -> None:
    spec = specs.create(stores=1, nodes=1)
    pki.ensure(home, spec, "10.96.0.1", spec.server())
    first = {path.name: path.read_bytes() for path in home.pki.iterdir()}
    pki.ensure(home, spec, "10.96.0.1", spec.server())
    assert {path.name: path.read_bytes() for path in home.pki.iterdir()} == first
    pki.ensure(home, spec, "10.96.0.1", "https://127.0.0.1:1")
    assert (home.pki / "admin.kubeconfig").read_bytes() != first["admin.kubeconfig"]
    assert [path.name for path in home.pki.glob("*.key") if path.stat().st_mode & 0o077] == []


ROWS = [
    {"name": "store-1", "component": "store"},
    {"name": "store-2", "component": "store"},
    {"name": "scheduler-1", "component": "scheduler"},
]


@pytest.mark.parametrize(
    ("target", "leader", "expected"),
    [
        ("store-1", False, ["store-1"]),
        ("store", False, ["store-1", "store-2"]),
        ("store", True, ["store-2"]),
        ("all", False, ["store-1", "store-2", "scheduler-1"]),
    ],
)
def test_targets(target: str, leader: bool, expected: list[str]) -> None:
    assert targets.resolve(ROWS, target, {"store": "store-2"}, leader) == expected


@pytest.mark.parametrize(("target", "leader"), [("nothing", False), ("scheduler", True)])
def test_targets_that_are_not_there(target: str, leader: bool) -> None:
    with pytest.raises(NoSuchProcess):
        targets.resolve(ROWS, target, {"store": "store-2"}, leader)


@pytest.mark.parametrize("name", ["status", "env", "kill", "net"])
def test_commands_without_a_cluster(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALSA_HOME", str(tmp_path / "none"))
    command = next(each for each in commands.COMMANDS if each.name == name)
    arguments = argparse.Namespace(output="table", target="store", leader=False, command=["true"])
    with pytest.raises(NotRunning, match="balsa up"):
        command.run(arguments)


def test_flags_of_the_user_come_after_the_clusters_own(home: Home) -> None:
    spec = specs.create(flags={"apiserver": ["--audit-log-path=-", "--secure-port=1"]})
    spec.write(home)
    made = plan.processes(specs.load(home) or spec, home, lambda _: (), ("10.96.0.1", 443))
    for process in made:
        ends_so = process.argv[-2:] == ("--audit-log-path=-", "--secure-port=1")
        assert ends_so is (process.component == "apiserver")


@pytest.mark.parametrize("text", ["apiserver", "apiserver=x", "kubelet=--x", "=--x", ""])
def test_a_flag_names_its_component(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["up", "--dry-run", "--flag", text])
    assert "is not COMPONENT=--FLAG; components: store, apiserver" in capsys.readouterr().err
