"""RFC 7386: the table of its appendix, and the laws that follow from it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.apiserver.patch.merge_patch import apply_merge_patch, create_merge_patch


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_rfc_7386_appendix(target: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(target)
    assert apply_merge_patch(target, patch) == expected
    assert target == before


KEYS = st.text("abc", min_size=1, max_size=2)
SCALARS = st.booleans() | st.integers(-3, 3) | st.text("xy", max_size=2)
LISTS = st.lists(SCALARS, max_size=3)
DOCUMENTS = st.recursive(
    st.dictionaries(KEYS, SCALARS | LISTS, max_size=3),
    lambda d: st.dictionaries(KEYS, SCALARS | d, max_size=3),
)
PATCHES = st.recursive(
    st.dictionaries(KEYS, st.none() | SCALARS | LISTS, max_size=3),
    lambda d: st.dictionaries(KEYS, st.none() | SCALARS | d, max_size=3),
)


@given(DOCUMENTS, PATCHES)
def test_applying_twice_is_applying_once(document: Any, patch: Any) -> None:
    once = apply_merge_patch(document, patch)
    assert apply_merge_patch(once, patch) == once


@given(DOCUMENTS, DOCUMENTS)
def test_a_diff_gives_the_target(source: Any, target: Any) -> None:
    assert apply_merge_patch(source, create_merge_patch(source, target)) == target


@given(DOCUMENTS)
def test_no_difference_is_an_empty_patch_and_changes_nothing(document: Any) -> None:
    assert create_merge_patch(document, document) == {}
    assert apply_merge_patch(document, {}) == document
