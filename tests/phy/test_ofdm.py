import math

import numpy as np
import pytest
from scipy import stats

from semstream.phy import ChannelError, CompositeOptions, apply, generator, ofdm
from semstream.phy.channel import composite_noise_power


def normal(shape, seq=0):
    rng = generator(2, "normal", seq)
    return ((rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / math.sqrt(2)).astype(np.complex64)


@pytest.mark.parametrize(("subcarriers", "prefix", "taps"), [(64, 16, 8), (64, 7, 8), (16, 16, 16), (1, 0, 1)])
def test_the_time_domain_chain_equals_the_product_on_each_subcarrier(subcarriers, prefix, taps):
    grid = normal((5, subcarriers))
    impulse = ofdm.draw_taps(5, taps, 2.0, 3.0, generator(0, "taps", 0))
    received = ofdm.demodulate(ofdm.convolve(ofdm.modulate(grid, prefix), impulse), prefix)
    np.testing.assert_allclose(received, ofdm.frequency_response(impulse, subcarriers) * grid, atol=1e-12)


def test_a_prefix_shorter_than_the_channel_breaks_the_product():
    grid = normal((5, 64))
    impulse = ofdm.draw_taps(5, 8, 2.0, 3.0, generator(0, "taps", 0))
    received = ofdm.demodulate(ofdm.convolve(ofdm.modulate(grid, 3), impulse), 3)
    assert np.abs(received - ofdm.frequency_response(impulse, 64) * grid).max() > 1e-3


def test_convolution_equals_the_textbook_sum_for_a_channel_that_stays():
    samples, taps = normal((4, 20)), normal(5, seq=1)
    expected = np.convolve(samples.reshape(-1), taps)[:80].reshape(4, 20)
    np.testing.assert_allclose(ofdm.convolve(samples, np.tile(taps, (4, 1))), expected, atol=1e-6)


def test_a_prefix_repeats_the_end_of_its_symbol_and_keeps_the_power():
    grid = normal((200, 64))
    samples = ofdm.modulate(grid, 16)
    assert samples.shape == (200, 80)
    np.testing.assert_array_equal(samples[:, :16], samples[:, -16:])
    assert np.sum(np.abs(samples[:, 16:]) ** 2) == pytest.approx(float(np.sum(np.abs(grid) ** 2)), rel=1e-6)
    np.testing.assert_allclose(ofdm.demodulate(samples, 16), grid, atol=1e-6)


def test_the_power_delay_profile_is_exponential_and_sums_to_one():
    profile = ofdm.power_delay_profile(8, 2.0)
    assert profile.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(profile[1:] / profile[:-1], math.exp(-0.5))


def test_taps_have_the_power_of_the_profile_and_the_line_of_sight():
    taps = ofdm.draw_taps(100_000, 4, 2.0, 3.0, generator(0, "taps", 0))
    expected = ofdm.power_delay_profile(4, 2.0) / 4
    np.testing.assert_allclose(np.var(taps, axis=0), expected, rtol=0.02)
    np.testing.assert_allclose(taps.mean(axis=0), [math.sqrt(0.75), 0, 0, 0], atol=0.01)


def test_every_subcarrier_is_rician_with_unit_mean_power():
    got = apply(normal(64 * 4000), "composite", 10.0, generator(0, "c", 0))
    gains = got.csi.reshape(4000, 64)
    np.testing.assert_allclose(np.mean(np.abs(gains) ** 2, axis=0), 1.0, atol=5 / math.sqrt(4000))
    law = stats.rice(b=math.sqrt(6), scale=math.sqrt(1 / 8)).cdf
    for subcarrier in (0, 31, 63):
        assert stats.kstest(np.abs(gains[:, subcarrier]), law).pvalue > 0.01


@pytest.mark.parametrize("time", [0.0, 15.0, 47.0, 99.0])
@pytest.mark.parametrize("snr_db", [1.0, 13.0])
def test_measured_noise_power_follows_its_time(time, snr_db):
    sent = normal(100_000)
    got = apply(sent, "composite", snr_db, generator(0, "c", 0), time=time)
    expected = composite_noise_power(snr_db, time)
    noise = got.received - got.csi * sent
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(expected, rel=5 / math.sqrt(100_000))
    np.testing.assert_allclose(got.noise_variance, expected, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 64, 1000])
def test_without_noise_each_symbol_is_multiplied_by_its_gain(count):
    sent = normal(count)
    got = apply(sent, "composite", math.inf, generator(0, "c", 0))
    np.testing.assert_allclose(got.received, got.csi * sent, atol=1e-6)
    assert not got.noise_variance.any()


@pytest.mark.parametrize(
    ("coherence", "channels"), [("symbol", 10), (64, 10), (65, 5), (128, 5), (10_000, 1), ("frame", 1)]
)
def test_taps_hold_for_whole_ofdm_symbols(coherence, channels):
    csi = apply(normal(640), "composite", 10.0, generator(0, "c", 0), coherence=coherence).csi.reshape(10, 64)
    assert np.unique(csi[:, 5]).size == channels


def test_neighbouring_subcarriers_fade_together_and_distant_ones_do_not():
    csi = apply(normal(64 * 4000), "composite", 10.0, generator(0, "c", 0), rician_k=0.0).csi.reshape(4000, 64)
    near, far = (abs(np.mean(csi[:, 0] * np.conj(csi[:, step]))) for step in (1, 32))
    assert near > 0.9
    assert far < 0.5


def test_options_reach_the_channel():
    flat = CompositeOptions(subcarriers=32, cyclic_prefix=0, taps=1, noise_swing=0.0)
    got = apply(normal(64), "composite", 10.0, generator(0, "c", 0), composite=flat, time=15.0)
    for row in got.csi.reshape(2, 32):
        np.testing.assert_allclose(row, row[0])
    np.testing.assert_allclose(got.noise_variance, 0.1, rtol=1e-6)


def test_a_prefix_too_short_is_refused_with_the_length_needed():
    with pytest.raises(ChannelError, match="taps - 1 = 19"):
        CompositeOptions(taps=20, cyclic_prefix=8)
