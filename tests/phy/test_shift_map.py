"""Values sent once as they are and once folded: exact without noise, closer than repetition with it, safe in a fade."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semstream.phy.errors import PhyError
from semstream.phy.shift_map import fold, folded_noise, unfold


def received(
    width: float, coarse_noise: float, fine_noise: float, count: int = 40_000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of unit power, what was made of them, and the variance that it is said to have."""
    random = np.random.default_rng(0)
    values = random.standard_normal(count).astype(np.float32)
    coarse = values + np.float32(coarse_noise**0.5) * random.standard_normal(count).astype(np.float32)
    fine = fold(values, width) + np.float32(fine_noise**0.5) * random.standard_normal(count).astype(np.float32)
    known = np.full(count, coarse_noise, np.float32)
    return values, *unfold(coarse, known, fine, np.full(count, fine_noise, np.float32), width, 1.0)


@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30), st.sampled_from([0.25, 0.7, 3.0, float("inf")]))
def test_without_noise_a_value_comes_back_whatever_it_is(values: list[float], width: float) -> None:
    sent = np.array(values, np.float32)
    folded = fold(sent, width)
    if np.isfinite(width):
        assert np.abs(folded).max() <= width / 2 * 1.0001
    none = np.full(sent.shape, 1e-9, np.float32)
    got, noise = unfold(sent, none, folded, none, width, 10.0)
    np.testing.assert_allclose(got, sent, atol=1e-4)
    assert (noise < 1e-6).all()


def test_an_infinite_width_is_repetition_combined_by_maximum_ratio() -> None:
    values, got, noise = received(float("inf"), 0.2, 0.05)
    assert noise == pytest.approx(1 / (1 / 0.2 + 1 / 0.05), rel=1e-4)
    assert np.square(got - values).mean() == pytest.approx(0.04, rel=0.03)


def test_a_fold_of_a_few_deviations_is_closer_than_repetition_and_as_its_theory_says() -> None:
    for ratio in (0.1, 0.01):
        coarse_noise = 0.001
        left, deviations = folded_noise(ratio)
        width = float(deviations * coarse_noise**0.5)
        # A remainder of power Δ²/12 sent with the power e has its noise divided by 12·e/Δ².
        values, got, noise = received(width, coarse_noise, coarse_noise * ratio / (coarse_noise / (width**2 / 12)))
        error = float(np.square(got - values).mean())
        assert error < 0.85 * coarse_noise * 0.5
        assert error == pytest.approx(noise.mean(), rel=0.15)  # it knows how wrong it is
        assert error == pytest.approx(left * coarse_noise, rel=0.2)
    assert float(folded_noise(0.01)[0]) < float(folded_noise(0.1)[0]) < float(folded_noise(1.0)[0])


def test_in_a_deep_fade_the_error_that_is_told_is_the_error() -> None:
    for coarse_noise in (0.02, 0.05, 1.0, 30.0):  # of a width of 0.2
        values, got, noise = received(0.2, coarse_noise, 0.001)
        error = float(np.square(got - values).mean())
        assert error < 1.1 * coarse_noise
        assert error == pytest.approx(noise.mean(), rel=0.2)
    assert error == pytest.approx(30, rel=0.05)


def test_a_width_that_is_none_is_told() -> None:
    with pytest.raises(PhyError, match="width"):
        fold(np.ones(3, np.float32), 0.0)
    with pytest.raises(PhyError, match="width"):
        unfold(*[np.ones(3, np.float32)] * 4, np.array([1.0, -1.0, np.inf]), 1.0)
