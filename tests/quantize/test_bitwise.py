"""Features from the LLRs of their bits."""

from __future__ import annotations

import numpy as np
import pytest

from semstream.quantize.bitwise import LABELS, BitDequantizer, labelled, significance
from semstream.quantize.errors import QuantizeError
from semstream.quantize.lloyd_max import fit_codebooks
from semstream.quantize.quantizer import LloydMax


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    random = np.random.default_rng(0)
    return np.stack((random.standard_normal(40_000), random.laplace(size=40_000) * 0.5), axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def quantizer(samples: np.ndarray) -> LloydMax:
    return LloydMax(fit_codebooks(samples))


def received(
    quantizer: LloydMax, samples: np.ndarray, width: int, label: str, error: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, noise variance and wrongly decided codes of channel 1 over a binary symmetric channel."""
    codes = quantizer.quantize(samples, np.full(2, width, np.uint8))[:, 1]
    words = labelled(codes, label)
    bits = words >> np.arange(width, dtype=np.uint16)[:, None] & 1
    flipped = bits ^ (np.random.default_rng(1).random(bits.shape) < error)
    llr = ((1 - 2.0 * flipped) * np.log((1 - error) / max(error, 1e-9))).astype(np.float32)
    prior = np.square(samples, dtype=np.float64).mean(0)
    estimate, noise = BitDequantizer(quantizer, prior, label)(llr, 1)
    hard_words = (flipped << np.arange(width)[:, None]).sum(axis=0)
    code_of = np.argsort(labelled(np.arange(2**width, dtype=np.uint16), label))
    return estimate, noise, quantizer.levels(1, width)[code_of[hard_words]]


def wiener(estimate: np.ndarray, noise: np.ndarray, prior: float) -> np.ndarray:
    return estimate * prior / (prior + noise)


def test_neighbouring_gray_words_differ_in_one_bit_and_all_words_are_there() -> None:
    words = labelled(np.arange(256, dtype=np.uint16), "gray").astype(int)
    assert sorted(words) == list(range(256))
    assert {int(a ^ b).bit_count() for a, b in zip(words[1:], words[:-1], strict=True)} == {1}
    assert np.array_equal(labelled(np.arange(9, dtype=np.uint16), "natural"), np.arange(9))
    with pytest.raises(QuantizeError, match="natural, gray"):
        labelled(np.zeros(1, np.uint16), "folded")


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("width", [1, 3, 8, 10])
def test_without_errors_the_estimate_is_the_centroid(
    quantizer: LloydMax, samples: np.ndarray, width: int, label: str
) -> None:
    estimate, noise, level = received(quantizer, samples, width, label, 1e-9)
    prior = float(np.square(samples[:, 1], dtype=np.float64).mean())
    np.testing.assert_allclose(wiener(estimate, noise, prior), level, atol=0.02)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("error", [0.02, 0.1, 0.3])
def test_the_posterior_mean_beats_hard_decisions_and_never_costs_more_than_the_feature_itself(
    quantizer: LloydMax, samples: np.ndarray, label: str, error: float
) -> None:
    estimate, noise, level = received(quantizer, samples, 4, label, error)
    prior = float(np.square(samples[:, 1], dtype=np.float64).mean())
    soft = np.mean((wiener(estimate, noise, prior) - samples[:, 1]) ** 2)
    assert soft < np.mean((level - samples[:, 1]) ** 2)
    assert soft < prior


@pytest.mark.parametrize("label", LABELS)
def test_the_noise_variance_is_what_the_decoder_may_trust(quantizer: LloydMax, samples: np.ndarray, label: str) -> None:
    estimate, noise, _ = received(quantizer, samples, 4, label, 0.05)
    prior = float(np.square(samples[:, 1], dtype=np.float64).mean())
    usual = noise < 10 * prior
    expected = np.mean((prior * noise / (prior + noise))[usual])
    assert np.mean((wiener(estimate, noise, prior) - samples[:, 1])[usual] ** 2) == pytest.approx(expected, rel=0.1)


def test_nothing_known_reads_as_nothing(quantizer: LloydMax) -> None:
    estimate, noise = BitDequantizer(quantizer, np.ones(2, np.float32))(np.zeros((3, 5), np.float32), 0)
    np.testing.assert_allclose(wiener(estimate, noise, 1.0), 0, atol=0.05)
    assert (noise > 20).all()


def test_a_higher_bit_of_a_natural_code_moves_the_feature_more(quantizer: LloydMax) -> None:
    change = significance(quantizer, 0, 4)
    assert (np.diff(change) > 0).all()
    codes = np.arange(16)
    levels = quantizer.levels(0, 4)
    probability = quantizer.cells(0, 4, 1.0).probability
    assert change[0] == pytest.approx(((levels[codes ^ 1] - levels) ** 2 @ probability) / probability.sum())
