"""Which backend the next client gets. Pure but for the clock it is given.

Backends take turns. With ClientIP affinity a client keeps its backend until it has been silent for the timeout,
or the backend is gone. At most MAX_CLIENTS clients are remembered; past that the one silent longest is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from node.proxy.rules import Backend, Rule

MAX_CLIENTS = 10_000


class Balancer:
    def __init__(self, rule: Rule, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._turn = 0
        self._clients: OrderedDict[str, tuple[Backend, float]] = OrderedDict()
        self.rule = rule

    def update(self, rule: Rule) -> None:
        self.rule = rule
        if not rule.affinity_timeout_s:
            self._clients.clear()

    def pick(self, client: str, failed: frozenset[Backend] = frozenset()) -> Backend | None:
        """None when every backend has failed or there is none."""
        kept = self._kept(client)
        if kept is not None and kept not in failed:
            return self._keep(client, kept)
        choices = [backend for backend in self.rule.backends if backend not in failed]
        if not choices:
            return None
        self._turn += 1
        return self._keep(client, choices[self._turn % len(choices)])

    def _kept(self, client: str) -> Backend | None:
        backend, seen_s = self._clients.get(client, (None, 0.0))
        if backend is None or backend not in self.rule.backends:
            return None
        return backend if self._now_s() - seen_s < self.rule.affinity_timeout_s else None

    def _keep(self, client: str, backend: Backend) -> Backend:
        if self.rule.affinity_timeout_s:
            self._clients[client] = (backend, self._now_s())
            self._clients.move_to_end(client)
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        return backend
