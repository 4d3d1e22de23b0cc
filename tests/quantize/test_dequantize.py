from __future__ import annotations

import numpy as np
import pytest

from semstream.quantize.dequantize import NOISE_CAP, Dequantizer, dequantize
from semstream.quantize.errors import QuantizeError
from semstream.quantize.fixed_point import FixedPoint
from semstream.quantize.lloyd_max import fit_codebooks, thresholds
from semstream.quantize.quantizer import LloydMax, Quantizer

MODES = ("hard", "linear", "soft")


def wiener(estimate: np.ndarray, noise: np.ndarray, prior: np.ndarray) -> np.ndarray:
    found: np.ndarray = prior / (prior + noise) * estimate
    return found


def sent_over_the_air(
    quantizer: Quantizer, x: np.ndarray, bits: np.ndarray, snr_db: float, seed: int
) -> tuple[np.ndarray, float]:
    nu = 10 ** (-snr_db / 10)
    levels = quantizer.dequantize(quantizer.quantize(x, bits), bits)
    return levels + np.sqrt(nu) * np.random.default_rng(seed).standard_normal(x.shape).astype(np.float32), nu


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6])
def test_soft_is_the_posterior_mean_by_numerical_integration(width: int) -> None:
    # Gaussian feature: E[s | y] = ∫ s f(s) φ(y - Q(s)) ds / ∫ f(s) φ(y - Q(s)) ds on a fine grid; the variance likewise
    grid = np.linspace(-6, 6, 600_001)
    density = np.exp(-(grid**2) / 2)
    quantizer = LloydMax(fit_codebooks(np.random.default_rng(0).standard_normal((200_000, 1))))
    levels = quantizer.levels(0, width).astype(np.float64)
    of_grid = levels[np.searchsorted(thresholds(levels), grid)]
    prior = np.ones(1)
    for nu in (0.01, 0.1, 0.8):
        y = np.linspace(-2.5, 2.5, 21)
        estimate, noise = dequantize(y[:, None], nu, quantizer, np.array([width]), prior, "soft")
        found = wiener(estimate, noise, prior)[:, 0]
        likelihood = density * np.exp(-((y[:, None] - of_grid) ** 2) / (2 * nu))
        mean = (likelihood * grid).sum(axis=1) / likelihood.sum(axis=1)
        np.testing.assert_allclose(found, mean, atol=0.02)
        variance = (likelihood * grid**2).sum(axis=1) / likelihood.sum(axis=1) - mean**2
        told = noise[:, 0] / (1 + noise[:, 0])  # 1/ν' = 1/v − 1/p, backwards
        certain = variance < 0.9  # beyond, ν' is capped
        np.testing.assert_allclose(told[certain], variance[certain], atol=0.02, rtol=0.05)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_the_extrinsic_form_gives_the_posterior_of_the_codebook_back(quantizer: LloydMax, width: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(40, 4)).astype(np.float32)
    nu = rng.uniform(0.001, 2, size=y.shape).astype(np.float32)
    prior = np.array([0.04, 0.49, 1.0, 3.6])
    estimate, noise = dequantize(y, nu, quantizer, np.full(4, width), prior, "soft")
    for c in range(4):
        cells = quantizer.cells(c, width, prior[c])
        distance = (y[:, c, None] - quantizer.levels(c, width)) ** 2 / (2 * nu[:, c, None])
        weight = cells.probability * np.exp(-(distance - distance.min(axis=1, keepdims=True)))
        mean = (weight @ cells.centroid) / weight.sum(axis=1)
        np.testing.assert_allclose(wiener(estimate, noise, prior)[:, c], mean, atol=1e-4)


@pytest.mark.parametrize("width", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("snr_db", [1, 4, 7, 10, 13])
def test_soft_beats_hard_and_linear_over_the_air(
    samples: np.ndarray, quantizer: LloydMax, width: int, snr_db: int
) -> None:
    x = (np.random.default_rng(5).laplace(size=(8000, 4)) * samples.std(axis=0) / np.sqrt(2)).astype(np.float32)
    prior = np.mean(samples**2, axis=0)
    for one in (quantizer, FixedPoint.from_samples(samples)):
        bits = np.full(4, width)
        y, nu = sent_over_the_air(one, x, bits, snr_db, seed=snr_db)
        error = {m: np.mean((wiener(*dequantize(y, nu, one, bits, prior, m), prior) - x) ** 2) for m in MODES}
        assert error["soft"] <= error["hard"]
        assert error["soft"] <= error["linear"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [2, 4, 6, 8])
def test_the_noise_variance_tells_the_error_that_the_decoder_will_see(
    samples: np.ndarray, quantizer: LloydMax, mode: str, width: int
) -> None:
    prior = np.mean(samples**2, axis=0)
    x = samples.astype(np.float32)
    bits = np.full(4, width)
    for snr_db in (4, 13):
        y, nu = sent_over_the_air(quantizer, x, bits, snr_db, seed=1)
        estimate, noise = dequantize(y, nu, quantizer, bits, prior, mode)
        told = np.mean(prior * noise / (prior + noise))
        measured = np.mean((wiener(estimate, noise, prior) - x) ** 2)
        assert told == pytest.approx(measured, rel=0.12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 11])
def test_without_noise_the_wiener_estimate_is_the_level(
    quantizer: LloydMax, samples: np.ndarray, mode: str, width: int
) -> None:
    prior = np.mean(samples**2, axis=0)
    x = samples[:300].astype(np.float32)
    bits = np.full(4, width)
    levels = quantizer.dequantize(quantizer.quantize(x, bits), bits)
    estimate, noise = dequantize(levels, 0.0, quantizer, bits, prior, mode)
    np.testing.assert_allclose(wiener(estimate, noise, prior), levels, rtol=5e-3, atol=0.02 if width > 5 else 5e-3)


@pytest.mark.parametrize("mode", MODES)
def test_a_feature_that_was_not_sent_is_zero_with_the_largest_noise(quantizer: LloydMax, mode: str) -> None:
    y = np.full((3, 2, 4), 9.0)
    bits = np.array([0, 4, 0, 9])
    estimate, noise = dequantize(y, 0.1, quantizer, bits, np.ones(4), mode)
    assert estimate.dtype == noise.dtype == np.float32
    assert (estimate[..., [0, 2]] == 0).all()
    assert (noise[..., [0, 2]] == NOISE_CAP).all()
    assert (noise[..., [1, 3]] < 10).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_width_a_feature_gives_what_a_width_a_channel_gives(quantizer: LloydMax, mode: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(5, 6, 4)).astype(np.float32)
    nu = rng.uniform(0.01, 1, y.shape).astype(np.float32)
    one = Dequantizer(quantizer, np.ones(4), mode)
    bits = rng.integers(0, 10, y.shape)
    estimate, noise = one(y, nu, bits)
    for i in np.ndindex(5, 6):
        for c in range(4):
            expected = one(y[i], nu[i], np.where(np.arange(4) == c, bits[(*i, c)], 1).astype(int))
            np.testing.assert_allclose(estimate[(*i, c)], expected[0][c], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(noise[(*i, c)], expected[1][c], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_extreme_noise_stays_finite_and_in_the_range_of_half_precision(quantizer: LloydMax, mode: str) -> None:
    y = np.array([[0.0, 1.0, -3.0, 30.0]] * 6, np.float32)
    nu = np.array([0, 1e-30, 1e-6, 1.0, 1e4, np.inf], np.float32)[:, None]
    for width in range(13):
        estimate, noise = dequantize(y, nu, quantizer, np.full(4, width), np.array([0.04, 0.49, 1, 3.6]), mode)
        assert np.isfinite(estimate).all()
        assert (np.abs(estimate) < 65504).all()
        assert (noise >= 0).all()
        assert (noise <= NOISE_CAP).all()


def test_as_printed_levels_can_be_decided_hard() -> None:
    quantizer = FixedPoint(np.array([7.0, 3.0]), as_printed=True)
    bits = np.array([5, 3])
    levels = quantizer.dequantize(quantizer.quantize(np.random.default_rng(0).normal(size=(50, 2)) * 3, bits), bits)
    decided = quantizer.dequantize(quantizer.decide(levels + 1e-3, bits), bits)
    np.testing.assert_array_equal(decided, levels)


def test_bad_input_is_named(quantizer: LloydMax) -> None:
    y, bits, prior = np.zeros((2, 4)), np.ones(4, int), np.ones(4)
    with pytest.raises(QuantizeError, match=r"observation.*NaN"):
        dequantize(y + np.nan, 0.1, quantizer, bits, prior)
    with pytest.raises(QuantizeError, match="noise_variance"):
        dequantize(y, -0.1, quantizer, bits, prior)
    with pytest.raises(QuantizeError, match="noise_variance"):
        dequantize(y, np.full(4, np.nan), quantizer, bits, prior)
    with pytest.raises(QuantizeError, match="broadcast"):
        dequantize(y, np.ones(3), quantizer, bits, prior)
    with pytest.raises(QuantizeError, match="hard, linear, soft"):
        dequantize(y, 0.1, quantizer, bits, prior, "best")
    with pytest.raises(QuantizeError, match="prior_variance"):
        dequantize(y, 0.1, quantizer, bits, np.ones(3))
    with pytest.raises(QuantizeError, match=r"0\.\.12"):
        dequantize(y, 0.1, quantizer, np.full(4, 13), prior)
