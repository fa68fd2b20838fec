"""Label and field selectors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.api import selectors
from control_plane.api.selectors import SelectorError, parse_fields, parse_labels

LABELS = {"app": "web", "tier": "front", "gen": "3", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app", True),
        ("nope", False),
        ("!nope", True),
        ("!app", False),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier = front", True),
        ("app=x", False),
        ("app!=x", True),
        ("nope!=x", True),
        ("app in (web,x)", True),
        ("app in (x, y)", False),
        ("nope in (x)", False),
        ("app notin (x)", True),
        ("nope notin (x)", True),
        ("app notin (web)", False),
        ("empty=", True),
        ("empty in ()", True),
        ("gen>2", True),
        ("gen<3", False),
        ("app>1", False),
        ("in=in,notin", False),
        ("x.example.com/y!=z", True),
    ],
)
def test_labels(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text",
    [
        "=x",
        "a=b=c",
        "a,,b",
        "a,",
        "a b",
        "a in x",
        "a in (x",
        "a in (x y)",
        "a in",
        "-a=1",
        "a=$",
        "a>x",
        "a/b/c=1",
        "!",
        "()",
    ],
)
def test_labels_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_labels(text)


names = st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda s: s not in ("in", "notin"))
terms = st.one_of(
    names,
    names.map("!{}".format),
    st.tuples(names, st.sampled_from(["=", "!="]), names).map("".join),
    st.tuples(names, st.sampled_from(["in", "notin"]), st.lists(names, min_size=1, max_size=3)).map(
        lambda t: f"{t[0]} {t[1]} ({','.join(sorted(set(t[2])))})"
    ),
)


@settings(deadline=None)
@given(st.lists(terms, min_size=1, max_size=4).map(",".join))
def test_what_is_printed_reads_the_same(text: str) -> None:
    parsed = parse_labels(text)
    assert str(parsed) == text
    assert parse_labels(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        pytest.param(None, False, id="none selects nothing"),
        pytest.param({}, True, id="empty selects everything"),
        pytest.param({"matchLabels": {"app": "web"}}, True, id="labels"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True, id="in"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False, id="does not exist"
        ),
    ],
)
def test_selector_objects(selector: dict[str, object] | None, matches: bool) -> None:
    assert selectors.from_label_selector(selector).matches(LABELS) is matches


def test_a_plain_map_that_is_empty_selects_nothing() -> None:
    assert not selectors.from_set({}).matches(LABELS)
    assert selectors.from_set({"app": "web"}).matches(LABELS)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a", True),
        ("metadata.name!=a", False),
        ("status.phase!=Running,metadata.name=a", True),
        (r"x=a\,b\=c", True),
        ("unset=", True),
    ],
)
def test_fields(text: str, matches: bool) -> None:
    assert parse_fields(text).matches({"metadata.name": "a", "x": "a,b=c", "status.phase": ""}) is matches


@pytest.mark.parametrize("text", ["a", "a=b=c", r"a=\x", "a=b\\"])
def test_fields_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_fields(text)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_value_survives_escaping(value: str) -> None:
    selector = selectors.FieldSelector((selectors.FieldRequirement("a", "=", value),))
    assert parse_fields(str(selector)).matches({"a": value})
