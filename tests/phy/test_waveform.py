"""Waveforms: what a receiver that knows nothing of the channel finds out from pilots and preamble."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radio_fixtures import gaussian

from semstream.phy import NOISE_CAP
from semstream.phy.waveform import PilotComb, Plain, Preamble, Waveform, known_symbols

WAVEFORMS: list[Waveform] = [Plain(), PilotComb(), PilotComb(1, 1), PilotComb(7, 3), Preamble(), Preamble(16, 1)]
random = np.random.default_rng(0)


def noise(size: int, variance: float) -> np.ndarray:
    return gaussian(size, random) * np.float32(variance**0.5)


def all_good(samples: np.ndarray) -> np.ndarray:
    return np.ones(samples.size, bool)


def error(waveform: Waveform, sent: np.ndarray, samples: np.ndarray, variance: float) -> tuple[float, float, float]:
    """Mean square of what is left of y − ĥ·s, what the receiver takes it for, and |ĥ|²."""
    got = waveform.receive(samples, all_good(samples), sent.size, variance)
    left = np.mean(np.abs(got.received - got.csi * sent) ** 2)
    return float(left), float(np.mean(got.noise_variance)), float(np.mean(np.abs(got.csi) ** 2))


@pytest.mark.parametrize("waveform", WAVEFORMS, ids=str)
@given(st.integers(1, 200))
def test_without_a_channel_the_symbols_come_back(waveform: Waveform, count: int) -> None:
    sent = gaussian(count, np.random.default_rng(count))
    samples = waveform.modulate(sent)
    assert samples.dtype == np.complex64
    assert samples.size == count + waveform.overhead(count)
    got = waveform.receive(samples, all_good(samples), count, 0.0)
    assert np.allclose(got.received / got.csi, sent, atol=1e-4)
    assert [array.dtype for array in got] == [np.complex64, np.complex64, np.float32]


@pytest.mark.parametrize("offset", [0.0, 1e-4, 0.01, -0.02])
@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_pilots_follow_a_frequency_offset(offset: float, snr_db: float) -> None:
    variance = 10 ** (-snr_db / 10)
    sent = gaussian(4000, random)
    samples = PilotComb().modulate(sent)
    samples = samples * np.exp(2j * np.pi * (offset * np.arange(samples.size) + 0.3)) + noise(samples.size, variance)
    left, told, power = error(PilotComb(), sent, samples.astype(np.complex64), variance)
    assert left < 1.15 * variance
    assert told == pytest.approx(left, rel=0.15)
    assert power == pytest.approx(1, abs=0.15)


def test_pilots_follow_a_slow_fade() -> None:
    sent = gaussian(4000, random)
    samples = PilotComb().modulate(sent)
    at = np.arange(samples.size) * 2e-4 * np.pi
    fade = 0.8 * np.exp(1j * at) + 0.6 * np.exp(-0.5j * at)
    left, told, _ = error(PilotComb(), sent, (samples * fade + noise(samples.size, 0.05)).astype(np.complex64), 0.05)
    assert left < 1.15 * 0.05
    assert told == pytest.approx(left, rel=0.15)


@pytest.mark.parametrize("snr_db", [0, 10, 20])
@pytest.mark.parametrize("taps", [[1.0], [0.8, 0.0, 0.6j], [0.5, 0.5, 0.5, 0.5j]])
def test_a_preamble_undoes_multipath_and_tells_what_is_left(taps: list[complex], snr_db: float) -> None:
    variance = 10 ** (-snr_db / 10)
    waveform, sent = Preamble(), gaussian(4000, random)
    samples = waveform.modulate(sent)
    heard = np.convolve(samples, taps)[: samples.size] + noise(samples.size, variance)
    left, told, power = error(waveform, sent, heard.astype(np.complex64), variance)
    assert power == 1
    assert told == pytest.approx(left, rel=0.15)
    if taps == [1.0]:
        assert left < 1.15 * variance


def test_a_preamble_finds_the_impulse_response() -> None:
    taps = np.array([0.7, 0.1j, -0.4, 0, 0, 0, 0, 0.2])
    samples = Preamble().modulate(gaussian(100, random))
    assert np.allclose(Preamble().estimate(np.convolve(samples, taps)[: samples.size]), taps, atol=1e-5)


@pytest.mark.parametrize("waveform", WAVEFORMS, ids=str)
def test_symbols_on_samples_that_never_came_are_said_to_be_unknown(waveform: Waveform) -> None:
    sent = gaussian(600, random)
    samples = waveform.modulate(sent)
    good = all_good(samples)
    good[200:260] = False
    got = waveform.receive(np.where(good, samples, np.complex64(0)), good, 600, 0.01)
    unknown = got.csi == 0
    assert unknown.sum() >= 600 * 60 / samples.size - 5
    if not isinstance(waveform, Preamble):
        assert np.allclose((got.received / np.where(unknown, 1, got.csi))[~unknown], sent[~unknown], atol=1e-3)
    nothing = waveform.receive(np.zeros_like(samples), np.zeros(samples.size, bool), 600, 0.01)
    assert not nothing.csi.any()


def test_silence_in_place_of_a_preamble_tells_nothing() -> None:
    samples = np.zeros(Preamble().overhead(10) + 10, np.complex64)
    got = Preamble().receive(samples, all_good(samples), 10, 0.1)
    assert not got.csi.any()
    assert (got.noise_variance == NOISE_CAP).all()


def test_settings_that_make_no_waveform_are_refused() -> None:
    for wrong in (lambda: PilotComb(0, 3), lambda: PilotComb(4, 2), lambda: Preamble(10, 8), lambda: Preamble(10, 0)):
        with pytest.raises(ValueError, match="expected"):
            wrong()


def test_known_symbols_are_the_same_at_both_ends_and_like_no_shift_of_themselves() -> None:
    known = known_symbols(64)
    assert np.array_equal(known, known_symbols(64))
    assert np.allclose(np.abs(known), 1)
    correlation = [abs(np.vdot(known, np.roll(known, shift))) / 64 for shift in range(1, 64)]
    assert max(correlation) < 0.5
