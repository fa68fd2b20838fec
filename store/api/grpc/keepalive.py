"""How often a client may ping, as gRPC's servers have it (`--grpc-keepalive-min-time` of etcd).

With a call open a ping may come every `min_time_s`, without one every two hours. One that comes sooner is a
strike; after more than two the client is told to calm down and the connection ends. What the server sends in
between forgives: clients measure the connection with pings while data flows.
"""

from __future__ import annotations

MIN_TIME_S = 5.0  # etcd's
IDLE_MIN_TIME_S = 2 * 3600.0
MAX_STRIKES = 2


class PingPolicy:
    __slots__ = ("_last", "_min_time_s", "_strikes", "forgiven")

    def __init__(self, min_time_s: float = MIN_TIME_S) -> None:
        self._min_time_s = min_time_s
        self._last = float("-inf")
        self._strikes = 0
        self.forgiven = False  # the server has sent something since the last ping

    def allows(self, now: float, calls: int) -> bool:
        """Called for each ping."""
        since_s, self._last = now - self._last, now
        if self.forgiven:
            self.forgiven = False
            self._strikes = 0
        elif since_s < (self._min_time_s if calls else IDLE_MIN_TIME_S):
            self._strikes += 1
        return self._strikes <= MAX_STRIKES
