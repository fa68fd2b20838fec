"""Times as the API writes them."""

from __future__ import annotations

import pytest

from control_plane.api import meta


@pytest.mark.parametrize(
    ("epoch_s", "seconds", "micros"),
    [
        pytest.param(0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z", id="the epoch"),
        pytest.param(
            1_700_000_000.25, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.250000Z", id="a fraction"
        ),
        pytest.param(
            1_700_000_000.75, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.750000Z", id="same second"
        ),
        pytest.param(
            1_699_999_999.9999998, "2023-11-14T22:13:19Z", "2023-11-14T22:13:20.000000Z", id="rounded up"
        ),
    ],
)
def test_times(epoch_s: float, seconds: str, micros: str) -> None:
    assert meta.rfc3339(epoch_s) == seconds
    assert meta.rfc3339_micro(epoch_s) == micros
    assert meta.parse_time(seconds) == int(epoch_s)
