"""Finding a burst that starts late and turns, against the Cramér-Rao bound; what offsets do to samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semstream.phy import ChannelError
from semstream.phy.impairments import GUARD, Impairments, delayed, impair
from semstream.phy.synchronisation import acquire, aligned, frequency_bound, tone
from semstream.phy.waveform import known_symbols


def complex_normal(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.asarray((rng.standard_normal((count, 2)) @ [1, 1j]) / math.sqrt(2))


@pytest.mark.parametrize("count", [32, 128])
@pytest.mark.parametrize("snr_db", [3, 10, 20])
def test_the_frequency_of_a_tone_comes_within_a_fifth_of_the_bound(count: int, snr_db: float) -> None:
    rng = np.random.default_rng(count)
    snr, errors = 10 ** (snr_db / 10), []
    for _ in range(500):
        frequency, phase = rng.uniform(-0.5, 0.5), rng.uniform(0, 2 * np.pi)
        values = np.exp(1j * (2 * np.pi * frequency * np.arange(count) + phase))
        error = tone(values + complex_normal(rng, count) / math.sqrt(snr)) - frequency
        errors.append((error + 0.5) % 1 - 0.5)
    # The mean of 500 squares has a standard deviation of 6 %.
    assert 0.8 < np.mean(np.square(errors)) / frequency_bound(count, snr) < 1.2


@pytest.mark.parametrize("snr_db", [3, 10])
def test_a_burst_is_found_with_twice_the_least_variance_of_its_frequency(snr_db: float) -> None:
    rng, preamble = np.random.default_rng(1), known_symbols(64)
    variance, impairments = 10 ** (-snr_db / 10), Impairments(frequency_offset=0.01, timing_offset=100.0)
    frequency, start = [], []
    for _ in range(150):
        on_air = impair(np.concatenate([preamble, complex_normal(rng, 300)]), impairments, rng)
        noise = math.sqrt(variance) * complex_normal(rng, on_air.samples.size)
        seen = acquire(on_air.samples + noise, preamble)
        assert seen.found
        frequency.append(seen.frequency - 0.01)
        start.append(seen.start - on_air.start)
    start_error = np.sqrt(np.mean(np.square(start)))
    assert np.abs(start).max() < 0.5
    assert start_error < 0.06
    assert np.mean(np.square(frequency)) < 2.2 * frequency_bound(64, 1 / variance)


def test_noise_alone_is_no_burst() -> None:
    rng = np.random.default_rng(2)
    found = [acquire(complex_normal(rng, 700), known_symbols(64)).found for _ in range(200)]
    assert sum(found) <= 1


@pytest.mark.parametrize("capture", [np.zeros(200), np.zeros(10), np.full(200, np.nan)])
def test_a_capture_that_holds_nothing_is_no_burst(capture: np.ndarray) -> None:
    assert not acquire(capture.astype(np.complex128), known_symbols(64)).found


@given(st.floats(0, 40), st.floats(-0.5, 0.5))
def test_what_is_undone_exactly_leaves_the_burst(start: float, frequency: float) -> None:
    burst = complex_normal(np.random.default_rng(3), 100)
    capture = np.concatenate([burst, np.zeros(80)])
    on_air = delayed(capture, start) * np.exp(2j * np.pi * frequency * np.arange(180))
    assert np.allclose(aligned(on_air, start, frequency, 100), burst, atol=1e-9)


def test_a_delay_of_a_part_of_a_sample_is_a_sinc() -> None:
    pulse = np.zeros(4096)
    pulse[2048] = 1
    got = delayed(pulse, 0.25)[2040:2056]
    assert np.allclose(got, np.sinc(np.arange(2040, 2056) - 2048.25), atol=1e-3)


def test_phase_noise_is_a_wiener_process() -> None:
    rng = np.random.default_rng(4)
    turns = [impair(np.ones(200), Impairments(phase_noise=0.01), rng).turn for _ in range(1500)]
    step = np.mean([np.conj(t[GUARD]) * t[GUARD + 50] for t in turns])
    assert step == pytest.approx(math.exp(-0.5 * 0.01 * 50), abs=0.06)
    assert np.abs(np.mean([t[0] for t in turns])) < 0.1, "the phase of the start is any"


def test_the_draws_do_not_depend_on_how_strong_an_impairment_is() -> None:
    weak, strong = (impair(np.ones(50), Impairments(f, 0.0, 10.0), np.random.default_rng(5)) for f in (0.0, 0.01))
    assert weak.start == strong.start


@pytest.mark.parametrize("wrong", [{"frequency_offset": 0.6}, {"phase_noise": -1}, {"timing_offset": math.nan}])
def test_an_impairment_that_cannot_be_is_told(wrong: dict[str, float]) -> None:
    with pytest.raises(ChannelError, match=next(iter(wrong))):
        Impairments(**wrong)
