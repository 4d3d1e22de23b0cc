"""The linear path against the theory of linear analog codes."""

from __future__ import annotations

import numpy as np
import pytest

from semstream.codec.linear import analog_power, fit_linear_code


def expected_error(variances: np.ndarray, power: np.ndarray, snr: float) -> float:
    return float((variances / (1 + snr * power)).sum())


def test_power_has_mean_one_and_equal_components_share_it_equally() -> None:
    assert analog_power(np.ones(5), 10.0) == pytest.approx(np.ones(5))
    assert analog_power(np.array([4.0, 1.0, 0.1]), 10.0).mean() == pytest.approx(1.0)


def test_no_shift_of_power_between_components_lowers_the_error() -> None:
    variances, snr = np.array([9.0, 3.0, 1.0, 0.2]), 10.0
    power = analog_power(variances, snr, floor=1e-9)
    best = expected_error(variances, power, snr)
    for i in range(4):
        for j in range(4):
            moved = power.copy()
            step = min(0.01, moved[i])
            moved[i] -= step
            moved[j] += step
            assert expected_error(variances, moved, snr) >= best - 1e-9


def test_power_on_two_components_has_the_closed_form() -> None:
    # Both active: p_j + 1/g is proportional to sqrt(λ_j) and sums to 2 + 2/g.
    power = analog_power(np.array([4.0, 1.0]), 10.0)
    assert power == pytest.approx([2.2 * 2 / 3 - 0.1, 2.2 / 3 - 0.1], rel=1e-6)


def test_all_components_and_no_noise_give_the_patch_back() -> None:
    random = np.random.default_rng(0)
    patches = (random.standard_normal((500, 6)) @ random.standard_normal((6, 6))).astype(np.float32)
    code = fit_linear_code(patches, 6)
    features = (patches - code.mean) @ code.analysis.T
    assert np.allclose(features @ code.synthesis.T + code.mean, patches, atol=1e-3)


def test_each_feature_has_the_power_that_the_code_states() -> None:
    random = np.random.default_rng(0)
    patches = (random.standard_normal((4000, 6)) * [5, 3, 2, 1, 1, 0.5]).astype(np.float32)
    code = fit_linear_code(patches, 4)
    features = (patches - code.mean) @ code.analysis.T
    assert np.square(features).mean(axis=0) == pytest.approx(code.power, rel=1e-2)
    assert code.power.sum() == pytest.approx(4)


def test_channels_beyond_the_patch_start_silent() -> None:
    patches = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    code = fit_linear_code(patches, 5)
    assert code.analysis.shape == (5, 3)
    assert not code.analysis[3:].any()
