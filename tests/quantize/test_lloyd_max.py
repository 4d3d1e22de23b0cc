from __future__ import annotations

import numpy as np
import pytest

from semstream.quantize.errors import QuantizeError
from semstream.quantize.fixed_point import FixedPoint
from semstream.quantize.lloyd_max import Codebooks, cell_statistics, fit, fit_codebooks, thresholds
from semstream.quantize.quantizer import LloydMax, measure_distortion


def sqnr_db(x: np.ndarray, levels: np.ndarray) -> float:
    error = x - levels[np.searchsorted(thresholds(levels), x)]
    return float(10 * np.log10(np.mean(x**2) / np.mean(error**2)))


@pytest.mark.parametrize(("bits", "expected"), [(1, 4.40), (2, 9.30), (3, 14.62), (4, 20.22), (5, 26.02)])
def test_gaussian_codebooks_reach_the_sqnr_of_max_1960(bits: int, expected: float) -> None:
    rng = np.random.default_rng(bits)
    levels = fit(rng.standard_normal(300_000), bits)
    assert sqnr_db(rng.standard_normal(300_000), levels) == pytest.approx(expected, abs=0.06)


def test_the_two_bit_gaussian_levels_are_those_of_max_1960() -> None:
    levels = fit(np.random.default_rng(0).standard_normal(400_000), 2)
    np.testing.assert_allclose(levels, [-1.510, -0.4528, 0.4528, 1.510], atol=0.015)


def test_every_level_is_the_centroid_of_its_cell() -> None:
    x = np.random.default_rng(0).laplace(size=50_000)
    for bits in (1, 2, 3, 4, 5):
        levels = fit(x, bits)
        np.testing.assert_allclose(cell_statistics(x, levels).centroid, levels, atol=2e-3)


@pytest.mark.parametrize("bits", [6, 7, 8])
def test_unseen_outliers_cost_less_than_with_a_min_max_fixed_point_quantizer(bits: int) -> None:
    seen = np.random.default_rng(1).laplace(size=(20_000, 1))
    unseen = np.random.default_rng(2).laplace(size=(100_000, 1))
    unseen[:10] *= 3
    unseen[10] = 2.5 * np.abs(seen).max()
    width = np.full(1, bits)

    def error(quantizer: FixedPoint | LloydMax) -> float:
        x = unseen.astype(np.float32)
        return float(np.mean((x - quantizer.dequantize(quantizer.quantize(x, width), width)) ** 2, dtype=np.float64))

    fitted = error(LloydMax(fit_codebooks(seen)))
    assert fitted < error(FixedPoint.from_samples(seen)) / 2
    assert fitted < error(FixedPoint.from_samples(unseen)) / 2


def test_the_outermost_levels_of_wide_codebooks_reach_beyond_the_sample() -> None:
    x = np.random.default_rng(0).standard_normal(10_000)
    assert fit(x, 5)[-1] < x.max()
    assert fit(x, 8)[-1] > 1.5 * x.max()
    assert fit(x, 8)[0] < 1.5 * x.min()


def test_more_bits_never_distort_more(samples: np.ndarray, quantizer: LloydMax) -> None:
    distortion = measure_distortion(samples, quantizer)
    assert distortion.shape == (4, 13)
    assert (np.diff(distortion, axis=1) < 0).all()
    np.testing.assert_allclose(distortion[:, 0], np.mean(samples**2, axis=0), rtol=1e-5)
    # beyond the fitted widths each bit still buys nearly 6 dB
    assert (10 * np.log10(distortion[:, 8:12] / distortion[:, 9:]) > 5).all()


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(100),
        np.full(50, -3.25),
        np.array([1.0]),
        np.array([0.0, 1.0] * 20),
        np.repeat([1e-20, 2e-20], 9),
        np.arange(7.0) * 1e6,
    ],
    ids=["zeros", "constant", "one", "two values", "tiny", "huge"],
)
def test_degenerate_samples_give_ascending_levels_that_reproduce_them(x: np.ndarray) -> None:
    for bits in range(1, 9):
        levels = fit(x, bits)
        assert levels.shape == (2**bits,)
        assert (np.diff(levels) > 0).all()
        assert np.isfinite(levels).all()
    scale = max(np.abs(x).max(), 1e-6)
    assert np.abs(x - levels[np.searchsorted(thresholds(levels), x)]).max() <= 2e-2 * scale


def test_zero_bits_read_as_zero() -> None:
    assert fit(np.arange(5.0), 0).tolist() == [0.0]


def test_cell_statistics_add_up_to_the_moments_of_the_sample(samples: np.ndarray) -> None:
    x = samples[:, 1]
    cells = cell_statistics(x, fit(x, 4))
    assert cells.probability.sum() == pytest.approx(1)
    assert (cells.probability * cells.centroid).sum() == pytest.approx(x.mean(), abs=1e-9)
    assert (cells.probability * (cells.variance + cells.centroid**2)).sum() == pytest.approx(np.mean(x**2))


def test_codebooks_survive_the_way_through_flat_arrays(codebooks: Codebooks) -> None:
    arrays = codebooks.to_arrays()
    back = Codebooks.from_arrays(arrays | {"something.else": np.zeros(3)})
    assert back.channels == codebooks.channels
    for name, array in back.to_arrays().items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize("damage", ["missing", "shape", "nan", "gap", "empty"])
def test_damaged_codebook_arrays_are_refused(codebooks: Codebooks, damage: str) -> None:
    arrays = codebooks.to_arrays()
    if damage == "missing":
        del arrays["codebook.variance.3"]
    elif damage == "shape":
        arrays["codebook.levels.3"] = arrays["codebook.levels.3"][:, :5]
    elif damage == "nan":
        arrays["codebook.probability.2"] = np.full((4, 4), np.nan, np.float32)
    elif damage == "gap":
        del arrays["codebook.levels.2"]
    else:
        arrays = {}
    with pytest.raises(QuantizeError, match="codebooks"):
        Codebooks.from_arrays(arrays)


@pytest.mark.parametrize("x", [np.array([1.0, np.nan]), np.array([np.inf]), np.zeros(0), np.zeros((2, 2))])
def test_samples_that_cannot_be_fitted_are_refused(x: np.ndarray) -> None:
    with pytest.raises(QuantizeError, match="samples"):
        fit(x, 3)


@pytest.mark.parametrize("bits", [-1, 9])
def test_a_width_that_is_not_fitted_is_refused(bits: int) -> None:
    with pytest.raises(QuantizeError, match="bits"):
        fit(np.arange(9.0), bits)
