import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from semstream.phy import KINDS, ChannelError, CompositeOptions, apply, generator, noise_power
from semstream.phy.channel import composite_noise_power

COUNT = 200_000


def qpsk(count, seq=0):
    bits = generator(1, "qpsk", seq).integers(0, 2, (count, 2)) * 2.0 - 1.0
    return ((bits[:, 0] + 1j * bits[:, 1]) / np.sqrt(2)).astype(np.complex64)


def bounds(count, sigmas=5.0):
    """Relative confidence bound on a mean power of `count` exponential variables."""
    return sigmas / math.sqrt(count)


@pytest.mark.parametrize("kind", ["awgn", "rayleigh", "rician"])
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 1.0, 4.0, 7.0, 10.0, 13.0, 30.0])
def test_measured_noise_power_is_that_of_the_label(kind, snr_db):
    sent = qpsk(COUNT)
    got = apply(sent, kind, snr_db, generator(0, kind, 0))
    noise = got.received - got.csi * sent
    expected = 10 ** (-snr_db / 10)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(expected, rel=bounds(COUNT))
    assert np.mean(noise.real**2) == pytest.approx(expected / 2, rel=2 * bounds(COUNT))
    assert abs(np.mean(noise**2)) < expected * bounds(COUNT), "noise must be circularly symmetric"
    np.testing.assert_allclose(got.noise_variance, expected, rtol=1e-6)


def test_noise_is_gaussian_and_white():
    got = apply(np.zeros(20_000, np.complex64), "awgn", 0.0, generator(0, "awgn", 0))
    for part in (got.received.real, got.received.imag):
        assert stats.kstest(part * math.sqrt(2), "norm").pvalue > 0.01
    assert abs(np.mean(got.received[1:] * np.conj(got.received[:-1]))) < bounds(20_000)


def test_awgn_has_a_gain_of_one():
    assert np.array_equal(apply(qpsk(10), "awgn", 3.0, generator(0, "a", 0)).csi, np.ones(10, np.complex64))


@pytest.mark.parametrize(("kind", "k"), [("rayleigh", 3.0), ("rician", 0.5), ("rician", 3.0), ("rician", 20.0)])
def test_fading_has_unit_mean_power(kind, k):
    csi = apply(qpsk(COUNT), kind, 10.0, generator(0, kind, 0), rician_k=k).csi
    assert np.mean(np.abs(csi) ** 2) == pytest.approx(1.0, rel=bounds(COUNT))


def test_rayleigh_amplitudes_follow_the_rayleigh_distribution():
    amplitude = np.abs(apply(qpsk(20_000), "rayleigh", 10.0, generator(3, "h", 0)).csi)
    assert stats.kstest(amplitude, stats.rayleigh(scale=math.sqrt(0.5)).cdf).pvalue > 0.01


@pytest.mark.parametrize("k", [1.0, 3.0, 10.0])
def test_rician_amplitudes_follow_the_rice_distribution_with_linear_k(k):
    amplitude = np.abs(apply(qpsk(20_000), "rician", 10.0, generator(3, "h", 0), rician_k=k).csi)
    scale = math.sqrt(0.5 / (k + 1))
    assert stats.kstest(amplitude, stats.rice(b=math.sqrt(2 * k), scale=scale).cdf).pvalue > 0.01
    assert stats.kstest(amplitude, stats.rayleigh(scale=math.sqrt(0.5)).cdf).pvalue < 1e-6


def test_rician_at_k_zero_is_rayleigh_and_at_k_infinite_has_no_fading():
    rayleigh = apply(qpsk(50), "rayleigh", 10.0, generator(0, "h", 0)).csi
    assert np.array_equal(rayleigh, apply(qpsk(50), "rician", 10.0, generator(0, "h", 0), rician_k=0.0).csi)
    assert np.array_equal(apply(qpsk(50), "rician", 10.0, generator(0, "h", 0), rician_k=math.inf).csi, np.ones(50))


@pytest.mark.parametrize("kind", ["rayleigh", "rician"])
@pytest.mark.parametrize(
    ("coherence", "blocks"), [("symbol", 103), (1, 103), (10, 11), (103, 1), (500, 1), ("frame", 1)]
)
def test_the_gain_holds_over_the_coherence_and_changes_after(kind, coherence, blocks):
    csi = apply(qpsk(103), kind, 10.0, generator(0, "h", 0), coherence=coherence).csi
    assert csi.shape == (103,)
    assert np.unique(csi).size == blocks
    if coherence == 10:
        assert np.unique(csi[:10]).size == 1
        assert csi[9] != csi[10]


def test_gains_in_different_blocks_are_independent():
    csi = apply(qpsk(40_000), "rayleigh", 10.0, generator(0, "h", 0), coherence=4).csi[::4]
    assert abs(np.mean(csi[1:] * np.conj(csi[:-1]))) < bounds(10_000)


@pytest.mark.parametrize("kind", ["awgn", "rayleigh", "rician"])
def test_an_infinite_snr_gives_exactly_gain_times_symbol(kind):
    sent = qpsk(1001)
    got = apply(sent, kind, math.inf, generator(0, "h", 0))
    assert np.array_equal(got.received, got.csi * sent)
    assert not got.noise_variance.any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_gives_the_same_reception_and_another_does_not(kind):
    first, again, other = (apply(qpsk(300), kind, 5.0, generator(0, "channel", seq)) for seq in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.any(first.received == other.received)


@pytest.mark.parametrize("kind", ["rayleigh", "rician", "composite"])
def test_fading_does_not_depend_on_the_snr(kind):
    low, high = (apply(qpsk(300), kind, snr, generator(0, "channel", 0)) for snr in (0.0, math.inf))
    assert np.array_equal(low.csi, high.csi)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65])
def test_every_symbol_count_keeps_its_shape_and_dtype(kind, count):
    got = apply(qpsk(count), kind, 10.0, generator(0, "channel", 0))
    assert [a.shape for a in got] == [(count,)] * 3
    assert [a.dtype for a in got] == [np.complex64, np.complex64, np.float32]


def test_the_input_is_left_alone():
    sent = qpsk(100)
    before = sent.copy()
    for kind in KINDS:
        apply(sent, kind, 0.0, generator(0, "channel", 0))
    assert np.array_equal(sent, before)


@given(st.floats(-1, 1), st.floats(-20, 40))
def test_the_mean_noise_power_over_the_period_is_that_of_the_label(alpha, snr_db):
    mean = integrate.quad(composite_noise_power_of_time, 0, 100, args=(snr_db, alpha), epsabs=1e-12)[0] / 100
    assert mean == pytest.approx(noise_power(snr_db), rel=1e-9)


def composite_noise_power_of_time(time, snr_db, alpha):
    return composite_noise_power(snr_db, time, alpha)


def test_the_noise_swing_has_its_golden_values():
    scale = 1 + 0.5 * (1 - math.cos(10)) / 10
    assert composite_noise_power(10.0, 0.0) == pytest.approx(0.1 / scale)
    assert composite_noise_power(10.0, 5 * math.pi) == pytest.approx(0.15 / scale)
    assert composite_noise_power(10.0, 15 * math.pi) == pytest.approx(0.05 / scale)
    assert composite_noise_power(10.0, 105.0) == pytest.approx(composite_noise_power(10.0, 5.0))
    assert composite_noise_power(math.inf, 5.0) == 0.0


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"kind": "awng"}, "awgn, rayleigh"),
        ({"snr_db": math.nan}, "snr_db"),
        ({"snr_db": -math.inf}, "snr_db"),
        ({"kind": "rician", "rician_k": -1.0}, "rician_k"),
        ({"kind": "composite", "rician_k": math.nan}, "rician_k"),
        ({"kind": "rayleigh", "coherence": 0}, "coherence"),
        ({"kind": "rayleigh", "coherence": "packet"}, "coherence"),
        ({"kind": "composite", "coherence": 2.5}, "coherence"),
        ({"kind": "composite", "time": math.inf}, "time"),
        ({"symbols": np.ones((2, 2), np.complex64)}, r"\(2, 2\)"),
        ({"symbols": np.ones(4, np.float32)}, "float32"),
        ({"symbols": np.array([1, np.nan], np.complex64)}, "finite"),
    ],
)
def test_a_bad_setting_is_refused_by_name(setting, named):
    arguments = {"symbols": qpsk(4), "kind": "awgn", "snr_db": 10.0, "rng": generator(0, "c", 0)} | setting
    with pytest.raises(ChannelError, match=named):
        apply(**arguments)


@pytest.mark.parametrize(
    "options",
    [
        {"subcarriers": 0},
        {"taps": 0},
        {"taps": 65, "cyclic_prefix": 64},
        {"cyclic_prefix": 6},
        {"cyclic_prefix": 65},
        {"decay": 0.0},
        {"noise_swing": 1.5},
        {"noise_swing": math.nan},
    ],
)
def test_bad_composite_options_are_refused(options):
    with pytest.raises(ChannelError, match=next(iter(options))):
        CompositeOptions(**options)
