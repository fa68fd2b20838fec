"""Quantities: canonical spelling, rounding, arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.api import quantity
from control_plane.api.quantity import Quantity, QuantityError, parse


@pytest.mark.parametrize(
    ("text", "canonical", "value"),
    [
        ("0", "0", 0),
        ("0.5Gi", "512Mi", 536870912),
        ("1.5", "1500m", 2),
        ("1e3", "1e3", 1000),
        ("1E3", "1e3", 1000),
        ("12e2", "1200", 1200),
        ("1024", "1024", 1024),
        ("1024Mi", "1Gi", 1 << 30),
        ("1500Mi", "1500Mi", 1500 << 20),
        ("100m", "100m", 1),
        ("0.1", "100m", 1),
        ("1000m", "1", 1),
        ("2000", "2k", 2000),
        ("-1", "-1", -1),
        ("+1", "1", 1),
        (".5", "500m", 1),
        ("1.", "1", 1),
        ("1E", "1E", 10**18),
        ("1n", "1n", 1),
        ("0.1n", "1n", 1),
        ("512Ki", "512Ki", 512 << 10),
        ("0.5Ki", "512", 512),
        ("1000Ei", "9223372036854775807", 2**63 - 1),
    ],
)
def test_spelling(text: str, canonical: str, value: int) -> None:
    assert str(parse(text)) == canonical
    assert parse(text).value() == value


@pytest.mark.parametrize(
    "text", ["", "abc", "1.5.2", "1kk", "1 ", " 1", "1i", "e3", "--1", "1e", "٣", "1" * 300]
)
def test_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse(text)


def test_numbers_are_taken_as_json_has_them() -> None:
    assert str(parse(1)) == "1"
    assert str(parse(0.5)) == "500m"
    with pytest.raises(QuantityError):
        parse(True)


@settings(deadline=None)
@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3"]))
def test_the_canonical_spelling_means_the_same(number: int, suffix: str) -> None:
    parsed = parse(f"{number}{suffix}")
    again = parse(str(parsed))
    assert again == parsed
    assert str(again) == str(parsed)


@settings(deadline=None)
@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_addition_is_exact(a: int, b: int) -> None:
    total = quantity.from_milli(a) + quantity.from_milli(b)
    assert total.milli_value() == a + b
    assert total - quantity.from_milli(b) == quantity.from_milli(a)


def test_the_left_side_gives_the_family_unless_it_is_zero() -> None:
    assert str(parse("1Gi") + parse("1G")) == str(
        Quantity((2**30 + 10**9) * quantity.NANO, parse("1Gi").format)
    )
    assert str(parse("0") + parse("1Gi")) == "1Gi"


def test_order() -> None:
    assert parse("1Gi") > parse("1G") > parse("1M") > parse("1m") > parse("0")
    assert parse("1000m") == parse("1")
    assert hash(parse("1000m")) == hash(parse("1"))
