"""When cron expressions fire. The cases of changing clocks are those of the parser that Kubernetes uses."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.controllers.cronjob import schedule as schedules

NEW_YORK = "America/New_York"


def at(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        pytest.param("0/15 * * * *", "2012-07-09T14:45:00", "2012-07-09T15:00:00", id="every 15 minutes"),
        pytest.param("20-35/15 * * * *", "2012-07-09T15:45:00", "2012-07-09T16:20:00", id="wrap around hours"),
        pytest.param("*/15 * * * *", "2012-07-09T23:45:00", "2012-07-10T00:00:00", id="wrap around days"),
        pytest.param("0 0 */5 jul-oct mon", "2012-07-31T23:35:00", "2012-08-01T00:00:00", id="either day"),
        pytest.param("0 0 * Feb Mon", "2012-07-09T23:35:00", "2013-02-04T00:00:00", id="wrap around years"),
        pytest.param("0 0 29 2 ?", "2012-07-09T23:35:00", "2016-02-29T00:00:00", id="leap year"),
        pytest.param("0 0 13 * 5", "2026-11-01T00:00:00", "2026-11-06T00:00:00", id="friday or the 13th"),
        pytest.param("0 0 13 * *", "2026-11-01T00:00:00", "2026-11-13T00:00:00", id="the 13th"),
        pytest.param("0 0 */2 * sun", "2026-11-01T00:00:00", "2026-11-03T00:00:00", id="a step restricts"),
        pytest.param("@hourly", "2026-01-01T00:00:30", "2026-01-01T01:00:00", id="hourly"),
        pytest.param("@weekly", "2026-11-20T00:00:00", "2026-11-22T00:00:00", id="weekly is sunday"),
        pytest.param("@yearly", "2026-01-01T00:00:00", "2027-01-01T00:00:00", id="yearly"),
        pytest.param("@every 1h30m", "2026-01-01T00:00:10", "2026-01-01T01:30:10", id="every"),
        pytest.param("@every 100ms", "2026-01-01T00:00:10", "2026-01-01T00:00:11", id="never below a second"),
        pytest.param(
            "CRON_TZ=Asia/Tokyo 0 5 * * *", "2026-01-01T00:00:00", "2026-01-01T20:00:00", id="zone in front"
        ),
    ],
)  # fmt: skip
def test_next(expression: str, after: str, expected: str) -> None:
    assert schedules.parse(expression).next(at(after)) == at(expected)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        pytest.param("30 2 11 Mar ?", "2012-03-11T00:00:00-05:00", "2013-03-11T02:30:00-04:00", id="skipped"),
        pytest.param("0 * * * ?", "2012-03-11T01:00:00-05:00", "2012-03-11T03:00:00-04:00", id="forward"),
        pytest.param("0 1 * * ?", "2012-11-04T00:00:00-04:00", "2012-11-04T01:00:00-04:00", id="back, once"),
        pytest.param("0 1 * * ?", "2012-11-04T01:00:00-04:00", "2012-11-04T01:00:00-05:00", id="back, twice"),
        pytest.param("0 1 * * ?", "2012-11-04T01:00:00-05:00", "2012-11-05T01:00:00-05:00", id="back, next day"),
        pytest.param("0 0 * * *", "2012-11-04T12:00:00-05:00", "2012-11-05T00:00:00-05:00", id="midnight"),
    ],
)  # fmt: skip
def test_changing_clocks(expression: str, after: str, expected: str) -> None:
    assert schedules.parse(expression, ZoneInfo(NEW_YORK)).next(at(after)) == at(expected)


def test_what_never_fires() -> None:
    assert schedules.parse("59 23 31 2 *").next(at("2026-01-01T00:00:00")) is None


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("@every soon", "failed to parse duration @every soon"),
        ("TZ=Mars/Olympus * * * * *", "unknown time zone Mars/Olympus"),
    ],
)
def test_what_cannot_be_read(expression: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:
        schedules.parse(expression)
    assert str(refused.value) == why


@given(
    st.integers(0, 59), st.integers(0, 23), st.sets(st.integers(0, 6), min_size=1), st.integers(0, 2_000_000_000)
)  # fmt: skip
def test_next_is_the_first_match_after(minute: int, hour: int, weekdays: set[int], after: int) -> None:
    found = schedules.parse(f"{minute} {hour} * * {','.join(map(str, weekdays))}").next(after)
    assert found is not None
    moment = datetime.fromtimestamp(found, UTC)
    assert (moment.minute, moment.hour, moment.second) == (minute, hour, 0)
    assert moment.isoweekday() % 7 in weekdays
    between = [found - day * 86400 for day in range(1, 8) if found - day * 86400 > after]
    assert not any(datetime.fromtimestamp(each, UTC).isoweekday() % 7 in weekdays for each in between)
    assert after < found
