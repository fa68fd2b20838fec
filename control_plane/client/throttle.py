"""Client-side rate limit: a token bucket, as client-go's QPS and Burst."""

from __future__ import annotations

from control_plane.client.clock import Clock


class TokenBucket:
    """`take_s()` takes one token and says how long to wait for it: 0 when there was one."""

    def __init__(self, qps: float, burst: int, clock: Clock) -> None:
        self._qps = qps
        self._burst = float(burst)
        self._tokens = float(burst)
        self._clock = clock
        self._at_s = clock.monotonic()

    def take_s(self) -> float:
        self._refill()
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._qps)

    def try_take(self) -> bool:
        """Take a token if there is one now."""
        self._refill()
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _refill(self) -> None:
        now_s = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._qps)
        self._at_s = now_s
