"""Pilots and estimates against closed forms, and against the dense algebra that the shortcuts save."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j0

from semstream.phy import ChannelError, ofdm
from semstream.phy.estimators import WINDOW, Estimate, estimate
from semstream.phy.pilots import PilotPattern, comb, subcarrier_comb
from semstream.phy.statistics import BlockFading, MovingFading, Multipath, Statistics

OFDM = subcarrier_comb(0.1, 64, 16)


def complex_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.asarray((rng.standard_normal((*shape, 2)) @ [1, 1j]) / math.sqrt(2))


def gaussian_process(covariance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A draw of a complex Gaussian vector of this covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ complex_normal(rng, len(values)))


def covariance(statistics: Statistics, pattern: PilotPattern, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """E[h_a h_b*] of places of a stream, written down once more from the definitions."""
    a, b = a[:, None], b[None, :]
    frequency = (a % pattern.width + 32) % 64 - (b % pattern.width + 32) % 64
    if isinstance(statistics, BlockFading):
        same = (a + statistics.lead) // statistics.length == (b + statistics.lead) // statistics.length
        scattered = same.astype(complex)
        if statistics.multipath:
            scattered *= sum(
                p * np.exp(-2j * np.pi * frequency * d / 64)
                for p, d in zip(statistics.multipath.powers, statistics.multipath.delays, strict=True)
            )
        if statistics.phase_noise:
            return np.asarray(same * np.exp(-0.5 * statistics.phase_noise * np.abs(a - b)))
        return np.asarray(statistics.direct + (1 - statistics.direct) * scattered)
    return np.asarray(j0(2 * np.pi * statistics.doppler * (a - b)) * np.exp(-statistics.phase_noise * abs(a - b) / 2))


def dense(pilots: np.ndarray, pattern: PilotPattern, count: int, statistics: Statistics, noise: float) -> Estimate:
    """Linear MMSE from all pilots at once; of a channel that moves, without the one behind the last symbol."""
    if isinstance(statistics, MovingFading):
        pilots = pilots[: pattern.tiles(count)]
    at, told = pattern.symbol_places(count), pattern.pilot_places(count)[: len(pilots)].reshape(-1)
    among = covariance(statistics, pattern, told, told) + noise * np.eye(told.size)
    w = covariance(statistics, pattern, at, told) @ np.linalg.inv(among)
    left = 1 - np.einsum("kp,kp->k", w, np.conj(covariance(statistics, pattern, at, told))).real
    return Estimate(w @ pilots.reshape(-1), left)


PROFILE = tuple(ofdm.power_delay_profile(8, 2.0).tolist())
MULTIPATH = Multipath(tuple(map(float, range(8))), PROFILE, 64)


@settings(deadline=None)
@given(st.integers(0, 500), st.sampled_from([0.5, 0.3, 0.1, 0.02]), st.booleans())
def test_pilots_are_put_in_counted_and_taken_out(count: int, share: float, over_subcarriers: bool) -> None:
    pattern = subcarrier_comb(share, 64, 16) if over_subcarriers else comb(share)
    sent = complex_normal(np.random.default_rng(count), count).astype(np.complex64)
    stream = pattern.insert(sent)
    assert np.array_equal(stream[pattern.symbol_places(count)], sent)
    assert np.allclose(pattern.gains(stream, count), 1, atol=1e-6)
    assert stream.size == pattern.size(count)
    taken = np.concatenate([pattern.symbol_places(count), pattern.pilot_places(count).reshape(-1)])
    assert np.unique(taken).size == taken.size == pattern.uses(count)
    assert not stream[np.setdiff1d(np.arange(stream.size), taken)].any(), "what is no use is silent"


@pytest.mark.parametrize("share", [0, -0.1, 0.6, math.nan])
def test_a_share_of_pilots_that_cannot_be_is_told(share: float) -> None:
    with pytest.raises(ChannelError, match=r"pilots: .*0\.5"):
        comb(share)


@pytest.mark.parametrize("length", [40, 100])
def test_least_squares_has_the_variance_of_the_noise_over_the_pilots(length: int) -> None:
    rng, pattern, noise = np.random.default_rng(1), comb(0.1), 0.5
    blocks, count = 4000, 4000 * length * 9 // 10
    places = pattern.pilot_places(count)
    gains = np.repeat(complex_normal(rng, blocks + 1), length)
    pilots = gains[places] + math.sqrt(noise) * complex_normal(rng, *places.shape)
    found = estimate(pilots, pattern, count, BlockFading(length), noise, "ls")
    error = np.mean(np.abs(found.gains - gains[pattern.symbol_places(count)]) ** 2)
    number = length // 10
    assert error == pytest.approx(noise / number, rel=0.08)
    assert np.median(found.error_variance) == pytest.approx(noise / number)


@pytest.mark.parametrize("noise", [0.01, 0.5, 2.0])
def test_mmse_has_the_error_of_the_closed_form(noise: float) -> None:
    rng, pattern, length = np.random.default_rng(2), comb(0.1), 40
    count = 4000 * length * 9 // 10
    places = pattern.pilot_places(count)
    gains = np.repeat(complex_normal(rng, 4001), length)
    pilots = gains[places] + math.sqrt(noise) * complex_normal(rng, *places.shape)
    found = estimate(pilots, pattern, count, BlockFading(length), noise, "mmse")
    least = 1 / (1 + 4 / noise)
    assert np.median(found.error_variance) == pytest.approx(least, rel=1e-6)
    assert np.mean(np.abs(found.gains - gains[pattern.symbol_places(count)]) ** 2) == pytest.approx(least, rel=0.08)


@pytest.mark.parametrize(
    ("pattern", "statistics"),
    [
        (comb(0.1), BlockFading(64)),
        (comb(0.1), BlockFading(33, 0.75, lead=7)),
        (comb(0.1), BlockFading(1, 0.75)),
        (comb(0.1), BlockFading(64, lead=64, phase_noise=1e-3)),
        (OFDM, BlockFading(64, 0.75, multipath=MULTIPATH)),
        (OFDM, BlockFading(192, 0.0, multipath=MULTIPATH)),
        (OFDM, BlockFading(256, 0.75, multipath=MULTIPATH)),
        (OFDM, BlockFading(4096, 0.0, multipath=MULTIPATH)),
        (subcarrier_comb(0.02, 64, 16), BlockFading(128, 0.5, multipath=MULTIPATH)),
        (comb(0.1), MovingFading(doppler=0.01)),
        (comb(0.25), MovingFading(doppler=0.002, phase_noise=1e-3)),
    ],
    ids=str,
)
def test_the_shortcuts_are_the_dense_linear_mmse(pattern: PilotPattern, statistics: Any) -> None:
    count, noise = 250, 0.1
    places = pattern.pilot_places(count)
    pilots = complex_normal(np.random.default_rng(3), *places.shape)
    found = estimate(pilots, pattern, count, statistics, noise, "mmse")
    exact = dense(pilots, pattern, count, statistics, noise)
    # Of a channel that moves only a window is looked at, which here is all or nearly all that matters.
    close = 1e-5 if pattern.tiles(count) < WINDOW else 0.05
    assert np.allclose(found.gains, exact.gains, atol=close)
    assert np.allclose(found.error_variance, exact.error_variance, atol=close / 10)


@pytest.mark.parametrize("method", ["ls", "mmse"])
@pytest.mark.parametrize("doppler", [0.001, 0.02])
def test_interpolation_follows_a_jakes_process_with_the_error_that_it_tells(method: str, doppler: float) -> None:
    rng, pattern, noise, count = np.random.default_rng(4), comb(0.1), 0.1, 700
    statistics = MovingFading(doppler=doppler)
    time = np.arange(pattern.size(count))
    process = j0(2 * np.pi * doppler * (time[:, None] - time))
    at, places = pattern.symbol_places(count), pattern.pilot_places(count)
    errors, told = [], []
    for _ in range(60):
        gains = gaussian_process(process, rng)
        pilots = gains[places] + math.sqrt(noise) * complex_normal(rng, *places.shape)
        found = estimate(pilots, pattern, count, statistics, noise, method)
        errors.append(np.mean(np.abs(found.gains - gains[at]) ** 2))
        told.append(np.mean(found.error_variance))
    assert np.mean(errors) == pytest.approx(np.mean(told), rel=0.1)
    if method == "mmse":
        assert np.mean(told) < 0.5 * noise


def test_pilots_staggered_over_ofdm_symbols_tell_more_of_taps_that_hold() -> None:
    still, noise, errors = replace(OFDM, shifts=(0,)), 0.1, []
    pilots = np.ones(OFDM.pilot_places(1000).shape, complex)
    for length in (64, 256):
        statistics = BlockFading(length, 0.0, multipath=MULTIPATH)
        for pattern in (still, OFDM):
            found = estimate(pilots, pattern, 1000, statistics, noise, "mmse")
            errors.append(found.error_variance[: 4 * (64 - 6)].mean())
    assert errors[1] == pytest.approx(errors[0], rel=0.05), "one symbol has as many, wherever they stand"
    assert errors[3] < 0.55 * errors[2]
    taps = np.array(PROFILE)
    assert errors[3] == pytest.approx(np.sum(taps * noise / 24 / (taps + noise / 24)), rel=0.05), "all taps apart"


def test_mmse_is_never_worse_than_least_squares() -> None:
    for statistics, pattern in (
        (BlockFading(64, 0.75), comb(0.1)),
        (BlockFading(64, 0.75, multipath=MULTIPATH), OFDM),
        (MovingFading(doppler=0.01), comb(0.1)),
        (MovingFading(doppler=1e-4, multipath=MULTIPATH), OFDM),
    ):
        pilots = complex_normal(np.random.default_rng(5), *pattern.pilot_places(600).shape)
        told = [estimate(pilots, pattern, 600, statistics, 0.1, m).error_variance for m in ("mmse", "ls")]
        assert (told[0] <= told[1] + 1e-9).all()


def test_a_fade_that_no_pilot_hears_is_told_with_a_way_out() -> None:
    pattern = comb(0.1)
    pilots = complex_normal(np.random.default_rng(6), *pattern.pilot_places(100).shape)
    for statistics, method in ((BlockFading(5), "mmse"), (BlockFading(5, 0.5), "ls")):
        with pytest.raises(ChannelError, match=r"coherence: .*pilots"):
            estimate(pilots, pattern, 100, statistics, 0.1, method)
    with pytest.raises(ChannelError, match=r"estimator: .*ls, mmse"):
        estimate(pilots, pattern, 100, BlockFading(50), 0.1, "zf")
