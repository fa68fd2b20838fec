"""The peers' network: connections per pair of members, links per direction.

A connection is TCP's: what is sent on it arrives on it or not at all, and nothing of an earlier one arrives
on a later one (numbers of forwarded proposals rely on that). Within a connection the simulation is harsher
than TCP: messages are lost, doubled, overtaken and late, as the seed says. A cut link swallows messages
while connections stand; while either direction is cut no new connection comes about. A killed member's
connections close at once, those of a machine that lost power only when it is back or after a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.raft.codec import LENGTH, Message, decode, encode
from tests.sim.store.world import World

if TYPE_CHECKING:
    from tests.sim.store.member import SimMember

RECONNECT_S = 0.1
POWER_LOSS_NOTICED_S = 3.0

Pair = tuple[str, str]


@dataclass(slots=True)
class Weather:
    """What messages suffer everywhere; the seed chooses it once, faults add to it."""

    delay_s: tuple[float, float] = (0.0002, 0.004)
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    encoded: bool = False
    """Whether messages pass through the wire format (slower)."""


class Network:
    def __init__(self, world: World, members: Mapping[str, SimMember], weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self.cut: set[Pair] = set()
        self.lag_s: dict[Pair, float] = {}
        self._held: dict[Pair, list[tuple[int, Message]]] = {}
        self._members = members
        self._open: dict[Pair, int] = {}  # (who, with whom) → generation, as that side sees it
        self._last_arrival: dict[Pair, float] = {}
        self._generation = 0
        self._connecting: set[Pair] = set()

    # Messages

    def send(self, source: str, target: str, message: Message) -> bool:
        generation = self._open.get((source, target))
        if generation is None:
            return False
        world, weather, link = self.world, self.weather, (source, target)
        rng = world.rng
        if world.tracing:
            world.trace(source, f"→ {target} {_describe(message)}{' (cut)' if link in self.cut else ''}")
        if link in self.cut or (weather.loss and rng.random() < weather.loss):
            return True
        if link in self._held:
            self._held[link].append((generation, message))
            return True
        delay_s = rng.uniform(*weather.delay_s)
        lag_s = self.lag_s.get(link, 0.0)
        if lag_s:
            delay_s += rng.uniform(0, lag_s)
        at = world.now + delay_s
        if not weather.reordering or rng.random() >= weather.reordering:
            at = max(at, self._last_arrival.get(link, 0.0) + 1e-6)
            self._last_arrival[link] = at
        if weather.encoded:
            message = decode(encode(message)[LENGTH.size :])
        world.after(at - world.now, self._arrive, source, target, generation, message)
        if weather.duplication and rng.random() < weather.duplication:
            again_s = at - world.now + rng.choice([0.001, 0.05, 0.5, 2.0]) * rng.random()
            world.after(again_s, self._arrive, source, target, generation, message)
        return True

    def hold(self, source: str, target: str) -> None:
        """What is sent on this link from now on arrives when it is let go."""
        self._held.setdefault((source, target), [])

    def let_go(self, source: str, target: str) -> None:
        for generation, message in self._held.pop((source, target), ()):
            self.world.after(0.001, self._arrive, source, target, generation, message)

    def _arrive(self, source: str, target: str, generation: int, message: Message) -> None:
        member = self._members.get(target)
        if member is not None and member.alive and self._open.get((target, source)) == generation:
            member.replica.on_message(self._members[source].id, message)

    # Connections

    def connect(self, one: str, other: str) -> None:
        """Bring a connection about, as soon as it can be."""
        pair = (min(one, other), max(one, other))
        if pair not in self._connecting and one != other:
            self._connecting.add(pair)
            self.world.after(self.world.rng.uniform(0.001, RECONNECT_S), self._try, *pair)

    def _try(self, one: str, other: str) -> None:
        self._connecting.discard((one, other))
        a, b = self._members.get(one), self._members.get(other)
        if a is None or b is None or not (a.alive and b.alive):
            return
        if self._open.get((one, other), 0) == self._open.get((other, one), -1):
            return
        if not (a.knows(b.id) and b.knows(a.id)):
            return  # whoever learns of the other later tries again
        if a.paused or b.paused or (one, other) in self.cut or (other, one) in self.cut:
            self.connect(one, other)
            return
        self._generation += 1
        for side, peer in ((a, b), (b, a)):
            if (side.name, peer.name) in self._open:
                side.replica.on_disconnected(peer.id)
            self._open[side.name, peer.name] = self._generation
            side.replica.on_connected(peer.id)

    def reset(self, one: str, other: str) -> None:
        """The connection breaks, and is made again."""
        self._close(one, other)
        self._close(other, one)
        self.connect(one, other)

    def hang_up(self, side: str, peer: str) -> None:
        """The connection ends for one side; the other has not noticed, and goes on as if it stood."""
        self._close(side, peer)
        self.connect(side, peer)

    def died(self, name: str, machine_too: bool) -> None:
        """The member is gone; its peers notice, sooner or later."""
        for side, peer in sorted(self._open):
            if side == name:
                del self._open[side, peer]
            elif peer == name:
                late_s = POWER_LOSS_NOTICED_S if machine_too and self.world.rng.random() < 0.5 else 0.002
                self.world.after(
                    self.world.rng.uniform(0, late_s), self._close_old, side, peer, self._open[side, peer]
                )

    def _close_old(self, side: str, peer: str, generation: int) -> None:
        if self._open.get((side, peer)) == generation:
            self._close(side, peer)
            self.connect(side, peer)

    def _close(self, side: str, peer: str) -> None:
        if self._open.pop((side, peer), None) is not None and self._members[side].alive:
            self._members[side].replica.on_disconnected(self._members[peer].id)

    def members_changed(self, name: str) -> None:
        """This member knows others than before: part with those who are gone, find the new ones."""
        member = self._members[name]
        for peer in sorted(self._members):
            known = member.knows(self._members[peer].id)
            if known and (name, peer) not in self._open:
                self.connect(name, peer)
            elif not known and (name, peer) in self._open:
                self._close(peer, name)
                self._open.pop((name, peer), None)

    def heal(self) -> None:
        self.cut.clear()
        self.lag_s.clear()
        for link in list(self._held):
            self.let_go(*link)


def _describe(message: Message) -> str:
    kind = message["type"]
    fields = {
        key: value for key, value in message.items() if key not in ("type", "data", "commands", "change")
    }
    if kind == "append_entries":
        fields["entries"] = [(index, term) for _, index, term in message["entries"]]
    return f"{kind} {fields}"
