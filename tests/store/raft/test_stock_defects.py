"""What the unmodified package does in the scenarios of `test_defects`: why each correction is needed.

Should one of these fail after an upgrade of the pin, the package got better, and a correction may go.
"""

from __future__ import annotations

from typing import Any

import pytest
from pysyncobj import FAIL_REASON
from pysyncobj.node import Node

from tests.store.raft.stock import StockCluster, stock_cluster

pytestmark = pytest.mark.filterwarnings("ignore")

BIG = 10**6


class Answers(dict[str, Any]):
    def of(self, name: str) -> Any:
        return lambda result, error: self.__setitem__(name, error)

    @property
    def successes(self) -> list[str]:
        return [name for name, error in self.items() if error == FAIL_REASON.SUCCESS]


def test_b1_a_deposed_leader_reports_success_for_writes_that_exist_nowhere() -> None:
    with stock_cluster("ABC", logCompactionMinEntries=20, logCompactionBatchSize=256) as cluster:
        a = cluster.elect("A", "ABC")
        cluster.run("ABC", 0.5)
        for peer in "BC":
            cluster.disconnect("A", peer)
        answers = Answers()
        for number in range(5):
            a.append(f"lost{number}", callback=answers.of(f"lost{number}"))
        for _ in range(2):
            cluster.tick("A", 0.2)
        b = cluster.elect("B", "BC")
        for number in range(60):
            b.append(f"new{number}", padding=str(number).encode() * 10)
            if number % 5 == 0:
                cluster.run("BC", 0.3)
        cluster.run("BC", 1)
        for peer in "BC":
            cluster.connect("A", peer)
        others = [("A", "B"), ("A", "C"), ("B", "C"), ("C", "B"), ("C", "A")]
        for _ in range(200):
            cluster.tick("BC")
            cluster.deliver([("B", "A")], count=1)  # A takes turns between the pieces
            a.doTick(0)
            cluster.deliver(others)
        assert [each for each in answers.successes if each not in b.items]


def test_b2_a_repeated_append_undoes_acknowledged_entries() -> None:
    with stock_cluster("ABC", logCompactionMinEntries=BIG, appendEntriesBatchSizeBytes=4096) as cluster:
        a = cluster.elect("A", "ABC")
        cluster.run("ABC", 0.5)
        cluster.disconnect("A", "C")
        cluster.disconnect("B", "C")
        answers = Answers()
        for number in range(100):
            a.append(f"w{number}", padding=bytes(200), callback=answers.of(f"w{number}"))
        cluster.tick("A")
        cluster.tick("A", 0.11)
        copies = list(cluster.queues["A", "B"])
        for _ in range(20):
            cluster.deliver([("A", "B")])
            cluster.deliver([("B", "A")])
            cluster.tick("A", 0.05)
        assert len(answers.successes) == 100
        end = cluster.nodes["B"]._SyncObj__raftLog[-1][1]
        cluster.queues["A", "B"].clear()
        cluster.queues["A", "B"].extend(copies[:2])
        cluster.deliver([("A", "B")])
        assert cluster.nodes["B"]._SyncObj__raftLog[-1][1] < end - 50


def test_b3_an_acknowledgement_of_an_earlier_term_commits() -> None:
    with stock_cluster("ABCDE", logCompactionMinEntries=BIG) as cluster:
        a = cluster.elect("A", "ABCDE")
        cluster.run("ABCDE", 0.5)
        for peer in "CDE":
            cluster.cut |= {("A", peer), (peer, "A")}
        cluster.held.add(("B", "A"))
        for number in range(6):
            a.append(f"first{number}")
        a.doTick(0)
        cluster.tick("A", 0.11)
        cluster.deliver([("A", "B")])
        cluster.cut |= {pair for peer in "ACDE" for pair in (("B", peer), (peer, "B"))}
        cluster.cut -= {(x, y) for x in "ACDE" for y in "ACDE"}
        cluster.elect("C", "CDEA")
        cluster.run("ACDE", 0.5)
        cluster.elect("A", "ADEC")
        for peer in "CE":
            cluster.cut |= {("A", peer), (peer, "A")}
        answers = Answers()
        for number in range(4):
            a.append(f"second{number}", callback=answers.of(f"second{number}"))
        for _ in range(4):
            cluster.tick("AD", 0.11)
            cluster.deliver([("A", "D"), ("D", "A")])
        assert not answers.successes
        cluster.held.clear()
        cluster.deliver([("B", "A")])
        for _ in range(2):
            cluster.tick("A")
        assert len(answers.successes) == 4, "committed by two of five"


def test_b7_one_exception_in_a_callback_and_replicas_differ() -> None:
    with stock_cluster("ABC") as cluster:
        a = cluster.elect("A", "ABC")
        cluster.run("ABC", 0.5)
        raised = []

        def callback(result: Any, error: Any) -> None:
            if not raised:
                raised.append(True)
                raise RuntimeError("a client's mistake")

        a.append("once", callback=callback)
        for _ in range(50):
            _tick_all(cluster)
        assert a.items == ["once", "once"]
        assert cluster.nodes["B"].items == ["once"]


def _tick_all(cluster: StockCluster) -> None:
    cluster.now += 0.02
    for node in cluster.nodes.values():
        try:
            node.doTick(0)
        except RuntimeError:
            continue
    cluster.deliver()


def test_s4_overlapping_changes_of_members_are_accepted() -> None:
    with stock_cluster("ABC", dynamicMembershipChange=True) as cluster:
        a = cluster.elect("A", "ABC")
        cluster.run("ABC", 0.5)
        for peer in "BC":
            cluster.disconnect("A", peer)
        refused: list[Any] = []
        for name in "DE":
            a.addNodeToCluster(Node(name), callback=lambda _, error: refused.append(error))
        a.removeNodeFromCluster(Node("B"), callback=lambda _, error: refused.append(error))
        a.doTick(0)
        assert {node.id for node in a.otherNodes} == {"C", "D", "E"}
        assert not refused


def test_s5_a_retry_after_leader_changed_is_applied_twice() -> None:
    with stock_cluster("ABC") as cluster:
        cluster.elect("A", "ABC")
        cluster.run("ABC", 0.5)
        b = cluster.nodes["B"]
        answers: list[Any] = []
        b.append("X", callback=lambda _, error: answers.append(error))
        b.doTick(0)
        cluster.deliver([("B", "A")])
        cluster.held.add(("A", "B"))
        for _ in range(6):
            cluster.tick("AC", 0.06)
            cluster.deliver([("A", "C"), ("C", "A")])
        b._SyncObj__raftElectionDeadline = cluster.now - 1
        b.doTick(0)
        assert answers == [FAIL_REASON.LEADER_CHANGED]
        b.append("X", callback=lambda _, error: answers.append(error))
        cluster.held.clear()
        cluster.run("ABC", 4)
        assert [node.items for node in cluster.nodes.values()] == [["X", "X"]] * 3
