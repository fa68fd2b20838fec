"""Fair queuing in virtual time, without a clock: who is served when."""

from __future__ import annotations

from collections import Counter

import pytest

from control_plane.api.flowcontrol import MAX_ENTROPY_BITS, entropy_bits
from control_plane.apiserver.flowcontrol.queueset import NO_QUEUES, UNLIMITED, QueueSet, State, Ticket
from control_plane.apiserver.flowcontrol.shuffle import deal, flow_hash
from control_plane.apiserver.flowcontrol.tallies import Tally


def ticket(seats: int = 1, final: int = 0, linger_s: float = 0.0) -> Ticket:
    return Ticket(Tally("schema", "level"), seats, final, linger_s)


def test_a_level_without_queues_refuses_past_its_limit() -> None:
    level = QueueSet(NO_QUEUES, 0, 2, 0.0)
    assert [level.start(ticket(), (), 0.0) for _ in range(3)] == [
        State.EXECUTING,
        State.EXECUTING,
        State.REJECTED,
    ]


def test_an_exempt_level_serves_everyone() -> None:
    level = QueueSet(UNLIMITED, 0, 0, 0.0)
    assert {level.start(ticket(5), (), 0.0) for _ in range(100)} == {State.EXECUTING}


def test_a_request_waits_for_a_seat_and_gets_it() -> None:
    level = QueueSet(4, 10, 1, 0.0)
    first, second = ticket(), ticket()
    assert level.start(first, (0, 1), 0.0) is State.EXECUTING
    assert level.start(second, (0, 1), 0.0) is State.WAITING
    assert level.finish(first, 0.5) == [second]
    assert second.state is State.EXECUTING
    assert level.finish(second, 1.0) == []
    assert level.is_idle


def test_a_full_queue_refuses_only_while_there_is_no_seat() -> None:
    level = QueueSet(1, 1, 1, 0.0)
    assert [level.start(ticket(), (0,), 0.0) for _ in range(3)] == [
        State.EXECUTING,
        State.WAITING,
        State.REJECTED,
    ]


def test_a_wide_request_is_served_alone() -> None:
    level = QueueSet(1, 5, 2, 0.0)
    narrow, wide = ticket(), ticket(7)
    level.start(narrow, (0,), 0.0)
    assert level.start(wide, (0,), 0.0) is State.WAITING
    assert level.finish(narrow, 0.1) == [wide]


def test_seats_linger_after_the_end() -> None:
    level = QueueSet(1, 5, 3, 0.0)
    write, other = ticket(1, 3, 0.05), ticket()
    level.start(write, (0,), 0.0)
    assert level.start(other, (0,), 0.0) is State.WAITING, (
        "all of a write's seats are taken from its beginning"
    )
    assert level.finish(write, 0.01) == []
    assert level.release(write, 0.06) == [other]


def test_a_cancelled_request_leaves_no_trace() -> None:
    level = QueueSet(2, 5, 1, 0.0)
    first, second = ticket(), ticket()
    level.start(first, (0,), 0.0)
    level.start(second, (1,), 0.0)
    assert level.cancel(second, 1.0, timed_out=True) == []
    assert (level.waiting, level.waiting_seats, level.timed_out) == (0, 0, 1)
    level.finish(first, 2.0)
    assert level.is_idle


@pytest.mark.parametrize(
    ("heavy", "light"), [((0,), (1,)), ((0, 1), (2, 3))], ids=["one queue each", "hands of two"]
)
def test_a_flow_that_asks_for_more_gets_no_more(heavy: tuple[int, ...], light: tuple[int, ...]) -> None:
    """Both always have requests waiting, one of them five times as many: each is served as often."""
    level = QueueSet(4, 1000, 2, 0.0)
    served: Counter[str] = Counter()
    now_s = 0.0
    executing: list[Ticket] = []

    def ask(name: str, hand: tuple[int, ...]) -> None:
        asked = ticket()
        asked.owner = name
        if level.start(asked, hand, now_s) is State.EXECUTING:
            executing.append(asked)

    for _ in range(100):
        for _ in range(5 * len(heavy)):
            ask("heavy", heavy)
        for _ in range(len(light)):
            ask("light", light)
    for _ in range(180 * len(light)):
        now_s += 0.01
        done = executing.pop(0)
        served[done.owner] += 1
        executing += level.finish(done, now_s)
    assert abs(served["heavy"] - served["light"]) <= 0.1 * served["light"]


def test_a_flow_that_was_idle_has_saved_up_nothing() -> None:
    level = QueueSet(2, 100, 1, 0.0)
    now_s = [float(second) for second in range(1, 30)]
    executing = ticket()
    level.start(executing, (0,), 0.0)
    waiting = [ticket() for _ in range(20)]
    for each in waiting:
        level.start(each, (0,), 0.0)
    for _ in range(10):
        (executing,) = level.finish(executing, now_s.pop(0))
    late = [ticket() for _ in range(10)]
    for each in late:
        level.start(each, (1,), 10.0)
    order = []
    for _ in range(10):
        (executing,) = level.finish(executing, now_s.pop(0))
        order.append("late" if executing in late else "early")
    assert Counter(order)["early"] >= 4


def test_fewer_queues_lose_nothing() -> None:
    level = QueueSet(4, 10, 1, 0.0)
    first, second = ticket(), ticket()
    level.start(first, (3,), 0.0)
    level.start(second, (3,), 0.0)
    assert level.configure(1, 10, 1, 0.0) == []
    assert level.finish(first, 0.1) == [second]
    assert level.finish(second, 0.2) == []
    assert level.is_idle


def test_a_higher_limit_lets_in_who_waits() -> None:
    level = QueueSet(1, 10, 1, 0.0)
    tickets = [ticket() for _ in range(4)]
    for each in tickets:
        level.start(each, (0,), 0.0)
    assert level.configure(1, 10, 3, 0.1) == tickets[1:3]


def test_hands_are_of_different_cards_and_spread() -> None:
    hands = [deal(flow_hash("schema", str(user)), 64, 6) for user in range(2000)]
    assert all(len(set(hand)) == 6 for hand in hands)
    cards = Counter(card for hand in hands for card in hand)
    assert set(cards) == set(range(64))
    assert max(cards.values()) < 2 * min(cards.values())


@pytest.mark.parametrize(("deck", "hand", "fits"), [(128, 8, True), (64, 6, True), (128, 9, False)], ids=str)
def test_entropy(deck: int, hand: int, fits: bool) -> None:
    assert (entropy_bits(deck, hand) <= MAX_ENTROPY_BITS) is fits
