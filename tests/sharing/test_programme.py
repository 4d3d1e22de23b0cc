"""One resource in whole units: divided exactly, whatever the curves look like."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semstream.sharing.programme import divide, level

VALUES = st.lists(st.floats(-50, 50), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(VALUES, st.integers(1, 4)), min_size=1, max_size=4), st.integers(0, 20))
def test_all_is_given_that_can_be_and_in_the_best_way(users: list[tuple[list[float], int]], total: int) -> None:
    values, prices = [np.array(v) for v, _ in users], [p for _, p in users]
    found = divide(values, prices, total)
    assert sum(n * p for n, p in zip(found, prices, strict=True)) <= total
    given_away, value = max(
        (cost, sum(float(v[n]) for v, n in zip(values, units, strict=True)))
        for units in itertools.product(*(range(len(v)) for v in values))
        if (cost := sum(n * p for n, p in zip(units, prices, strict=True))) <= total
    )
    assert sum(n * p for n, p in zip(found, prices, strict=True)) == given_away
    assert sum(float(v[n]) for v, n in zip(values, found, strict=True)) == pytest.approx(value)


def test_what_must_be_given_is_given_and_what_cannot_be_is_an_error() -> None:
    rows = [np.array([-np.inf, 0.0, 5.0]), np.array([-np.inf, 0.0, 1.0])]
    assert divide(rows, [1, 1], 3) == [2, 1]
    with pytest.raises(ValueError, match="fewer than what must be given"):
        divide(rows, [2, 2], 3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 40), st.integers(0, 9))
def test_equal_units_differ_by_one_at_most_where_all_can_take_them(mosts: list[int], total: int, turn: int) -> None:
    found = level([0] * len(mosts), mosts, [1] * len(mosts), total, turn % len(mosts))
    assert sum(found) == min(total, sum(mosts))
    open_to = [n for n, most in zip(found, mosts, strict=True) if n < most]
    assert not open_to or max(found) - min(open_to) <= 1
