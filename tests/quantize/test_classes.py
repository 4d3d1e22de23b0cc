from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semstream.quantize.classes import class_means, class_sizes, class_sums, classify
from semstream.quantize.errors import QuantizeError


def test_the_most_important_third_is_class_zero() -> None:
    assert classify(np.array([0.1, 5.0, 2.0, 0.3, 9.0, 0.2]), 3).tolist() == [2, 0, 1, 1, 0, 2]


@given(st.integers(1, 64), st.integers(1, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_classes_are_ordered_and_of_equal_size(m: int, count: int, seed: int) -> None:
    c = np.random.default_rng(seed).integers(0, 20, count).astype(float)
    classes = classify(c, m)
    sizes = class_sizes(classes, m)
    assert sizes.sum() == count
    assert np.ptp(sizes) <= 1
    for k in range(m - 1):
        if sizes[k] and sizes[k + 1]:
            assert c[classes == k].min() >= c[classes == k + 1].max()


def test_ties_go_to_the_earlier_entry() -> None:
    assert classify(np.ones(6), 3).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_class_a_channel_ranks_the_channels() -> None:
    assert classify(np.array([1.0, 3.0, 2.0]), 3).tolist() == [2, 0, 1]
    assert classify(np.ones((2, 2, 3)), 4).shape == (2, 2, 3)


def test_sums_and_means_over_classes() -> None:
    classes = np.array([0, 1, 0])
    assert class_sums([1.0, 2.0, 4.0], classes, 3).tolist() == [5.0, 2.0, 0.0]
    assert class_means([1.0, 2.0, 4.0], classes, 3).tolist() == [2.5, 2.0, 0.0]
    assert class_means([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]], classes, 2).tolist() == [[2.5, 25.0], [2.0, 20.0]]


def test_contributions_that_are_not_finite_and_impossible_m_are_refused() -> None:
    with pytest.raises(QuantizeError, match="1 of 2"):
        classify(np.array([1.0, np.nan]), 2)
    with pytest.raises(QuantizeError, match=r"1\.\.256"):
        classify(np.ones(3), 0)
