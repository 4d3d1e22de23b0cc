"""Gray QAM and its soft demapper, against the standard's formulas, counting, and Sionna."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radio import needs_radio
from scipy.special import erfc

from semstream.phy.errors import PhyError
from semstream.phy.information import best_order, bit_information, code_rate
from semstream.phy.qam import LLR_LIMIT, ORDERS, bits_per_symbol, qam_llr, qam_modulate


def noisy(order: int, snr_db: float, symbols: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2, symbols * bits_per_symbol(order), dtype=np.uint8)
    variance = 10 ** (-snr_db / 10)
    noise = random.standard_normal((symbols, 2)) @ np.array([1, 1j]) * np.sqrt(variance / 2)
    return bits, (qam_modulate(bits, order) + noise).astype(np.complex64), variance


def test_golden_points_of_16_qam() -> None:
    points = qam_modulate(np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1], np.uint8), 16) * np.sqrt(10)
    np.testing.assert_allclose(points, [1 + 1j, 3 + 3j, -1 - 3j], rtol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_points_have_unit_mean_power_and_neighbours_differ_in_one_bit(order: int) -> None:
    width = bits_per_symbol(order)
    labels = (np.arange(order)[:, None] >> np.arange(width)[::-1] & 1).astype(np.uint8)
    points = qam_modulate(labels.reshape(-1), order)
    assert np.unique(points.round(5)).size == order
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1, rel=1e-6)
    distance = np.abs(points[:, None] - points)
    near = (distance > 0) & (distance < 1.01 * distance[distance > 1e-6].min())
    assert set((labels[:, None] != labels).sum(axis=2)[near]) == {1}


@pytest.mark.parametrize("order", ORDERS)
def test_bits_come_back_without_noise_and_their_llrs_stop_at_the_limit(order: int) -> None:
    bits, symbols, _ = noisy(order, 200)
    llr = qam_llr(symbols, np.zeros(symbols.size), order)
    assert np.array_equal(llr < 0, bits.astype(bool))
    assert np.abs(llr).max() <= LLR_LIMIT


def test_qpsk_errs_as_often_as_theory_says() -> None:
    bits, symbols, variance = noisy(4, 4.0, 100_000)
    wrong = np.mean((qam_llr(symbols, np.full(symbols.size, variance), 4) < 0) != bits)
    assert wrong == pytest.approx(0.5 * erfc(np.sqrt(10**0.4 / 2)), rel=0.03)


@pytest.mark.parametrize("order", ORDERS)
def test_an_llr_is_as_sure_as_it_is_right(order: int) -> None:
    bits, symbols, variance = noisy(order, 6.0, 100_000)
    llr = qam_llr(symbols, np.full(symbols.size, variance), order)
    for low, high in ((-3, -2), (-1, 0), (1, 2)):
        some = (llr > low) & (llr < high)
        assert np.mean(bits[some]) == pytest.approx(np.mean(1 / (1 + np.exp(llr[some]))), abs=0.01)


@needs_radio
@pytest.mark.parametrize("order", ORDERS)
def test_points_and_llrs_are_sionnas(order: int) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sionna.phy.mapping import Demapper, Mapper
    bits, symbols, _ = noisy(order, 8.0, 500)
    variance = np.random.default_rng(1).uniform(0.05, 0.5, 500).astype(np.float32)
    width = bits_per_symbol(order)
    theirs = Mapper("qam", width)(torch.tensor(bits).float()).numpy()
    np.testing.assert_allclose(qam_modulate(bits, order), theirs, atol=1e-6)
    logits = Demapper("app", "qam", width)(torch.tensor(symbols), torch.tensor(variance)).numpy()
    np.testing.assert_allclose(qam_llr(symbols, variance, order), -logits, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(order=st.sampled_from(ORDERS), snr_db=st.floats(-10, 40))
def test_information_grows_with_snr_and_stays_below_capacity(order: int, snr_db: float) -> None:
    here = bit_information(order, snr_db)
    assert (bit_information(order, snr_db + 1) >= here - 1e-9).all()
    assert here.sum() <= np.log2(1 + 10 ** (snr_db / 10)) + 0.02
    assert code_rate(order, snr_db) == pytest.approx(here.mean())


def test_the_best_order_rises_with_snr() -> None:
    orders = [best_order(snr)[0] for snr in (-5, 1, 7, 14, 22, 30)]
    assert orders == sorted(orders)
    assert set(orders) == set(ORDERS)
    assert all(0 < best_order(snr)[1] <= 0.9 for snr in (-5, 1, 7, 14, 22, 40))


@pytest.mark.parametrize("order", [0, 2, 8, 32, 1024])
def test_an_order_that_does_not_exist_is_refused(order: int) -> None:
    with pytest.raises(PhyError, match="4, 16, 64, 256"):
        qam_modulate(np.zeros(8, np.uint8), order)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(PhyError, match="multiple of 4"):
        qam_modulate(np.zeros(5, np.uint8), 16)
    with pytest.raises(PhyError, match="one shape"):
        qam_llr(np.zeros(3, np.complex64), np.zeros(2), 4)
