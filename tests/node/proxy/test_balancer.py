from __future__ import annotations

from collections import Counter

from node.proxy import balancer
from node.proxy.balancer import Balancer
from node.proxy.rules import Backend, Rule

A, B, C = (Backend(f"10.0.0.{number}", 80) for number in (1, 2, 3))


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_backends_take_turns() -> None:
    balancing = Balancer(Rule("s", (A, B, C)), Clock())
    assert Counter(balancing.pick("x") for _ in range(300)) == {A: 100, B: 100, C: 100}


def test_none_without_backends_or_when_all_failed() -> None:
    assert Balancer(Rule("s", ()), Clock()).pick("x") is None
    assert Balancer(Rule("s", (A, B)), Clock()).pick("x", frozenset({A, B})) is None


def test_a_client_keeps_its_backend_until_it_is_silent_or_the_backend_gone() -> None:
    clock = Clock()
    balancing = Balancer(Rule("s", (A, B, C), affinity_timeout_s=10), clock)
    first = balancing.pick("x")
    assert first is not None
    for clock.now_s in (9.0, 18.0, 27.0):
        assert {balancing.pick("x") for _ in range(5)} == {first}
    assert len({balancing.pick(f"client-{number}") for number in range(3)}) == 3
    clock.now_s += 10
    assert {balancing.pick("x"), balancing.pick("y"), balancing.pick("z")} == {A, B, C}
    kept = balancing.pick("x")
    balancing.update(Rule("s", tuple({A, B, C} - {kept}), affinity_timeout_s=10))
    assert balancing.pick("x") not in (kept, None)


def test_a_failed_backend_is_replaced_for_good() -> None:
    balancing = Balancer(Rule("s", (A, B), affinity_timeout_s=10), Clock())
    first = balancing.pick("x")
    assert first is not None
    second = balancing.pick("x", frozenset({first}))
    assert second not in (first, None)
    assert balancing.pick("x") == second


def test_clients_are_bounded() -> None:
    balancing = Balancer(Rule("s", (A, B), affinity_timeout_s=10), Clock())
    for number in range(balancer.MAX_CLIENTS + 10):
        balancing.pick(str(number))
    assert len(balancing._clients) == balancer.MAX_CLIENTS
