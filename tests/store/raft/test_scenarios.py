"""Plain-text scenarios with recorded output, in the manner of etcd-io/raft's testdata.

A line that begins with `>` is a command; what stands below it, up to the next command, is what it printed. After a
change that is meant to change them: `RECORD=1 pytest tests/store/raft/test_scenarios.py`, and review the diff.

    members ABC          elect A            propose A word …     change A add|promote|remove D
    isolate A …          heal               run SECONDS          kill A      boot A      join D
    state                what each member is, its term, commit and log: runs of entries by term, `(base)` in front
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import pytest

from store.raft import Join, Member
from store.raft.membership import Change, Operation
from tests.store.raft.memory_disk import MemoryDisk
from tests.store.raft.simulated import Outcome, SimulatedCluster, SimulatedMember, ident, url

SCENARIOS = sorted((Path(__file__).parent / "testdata").glob("*.txt"))


class Interpreter:
    def __init__(self) -> None:
        self.cluster: SimulatedCluster
        self.disks: dict[str, MemoryDisk] = {}
        self.waiting: list[tuple[str, Outcome]] = []

    def run(self, line: str) -> list[str]:
        command, *words = line.split()
        printed = getattr(self, f"do_{command}")(*words) or []
        if command != "members":
            printed += self._answers()
        return printed

    def _answers(self) -> list[str]:
        done = [(what, each) for what, each in self.waiting if each.done]
        self.waiting = [(what, each) for what, each in self.waiting if not each.done]
        return [f"{what}: {'done' if each.error is None else each.error}" for what, each in done]

    def do_members(self, names: str) -> None:
        self.cluster = SimulatedCluster(names)

    def do_elect(self, name: str) -> None:
        self.cluster.elect(name)
        self.cluster.settle()

    def do_propose(self, name: str, *words: str) -> None:
        for word in words:
            outcome = self.cluster.members[name].propose(word.encode(), timeout_s=20.0)
            self.waiting.append((f"{name} proposes {word}", outcome))

    def do_change(self, name: str, operation: str, whom: str) -> None:
        member = Member(ident(whom), whom, tuple(url(whom)), (), is_learner=operation == "add")
        outcome = self.cluster.members[name].change(Change(Operation(operation), member))
        self.waiting.append((f"{operation} {whom}", outcome))

    def do_isolate(self, *names: str) -> None:
        self.cluster.isolate(*names)

    def do_heal(self) -> None:
        self.cluster.heal()

    def do_run(self, seconds: str) -> None:
        self.cluster.run(float(seconds))

    def do_kill(self, name: str) -> None:
        self.disks[name] = self.cluster.kill(name)

    def do_boot(self, name: str) -> None:
        self.cluster.boot(name, self.disks.pop(name))

    def do_join(self, name: str) -> None:
        leader = self.cluster.leader
        assert leader is not None
        members = list(leader.replica.membership.members.values())
        join = Join(leader.storage.cluster_id, members)
        self.cluster.names.append(name)
        self.cluster.boot(name, join=join)

    def do_state(self) -> list[str]:
        return [_state(member) for _, member in sorted(self.cluster.members.items())]


def _state(member: SimulatedMember) -> str:
    status, entries = member.replica.status(), member.log
    runs = []
    for term, group in groupby(entries[1:], key=lambda entry: entry[2]):
        indexes = [entry[1] for entry in group]
        runs.append(f"{indexes[0]}–{indexes[-1]}@{term}" if len(indexes) > 1 else f"{indexes[0]}@{term}")
    commands = b" ".join(member.machine.commands).decode()
    log = " ".join([f"({entries[0][1]})", *runs])
    raft = f"{status.role.value:<9} term {status.term} commit {status.commit_index}"
    return f"{member.name} {raft} log {log} state [{commands}]"


def replay(text: str) -> str:
    interpreter = Interpreter()
    out: list[str] = []
    for line in text.splitlines():
        if line.startswith("#") or not line:
            out.append(line)
        elif line.startswith("> "):
            out.append(line)
            out += [f"  {each}" for each in interpreter.run(line[2:])]
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    recorded = path.read_text()
    found = replay(recorded)
    if os.environ.get("RECORD"):
        path.write_text(found)
    assert found == recorded
