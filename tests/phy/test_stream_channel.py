"""A channel for streams, and the numbers of frames that come over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from semstream.phy import ChannelError
from semstream.phy.sequence import SequenceNumbers
from semstream.phy.stream_channel import StreamChannel, StreamImpairments


def through(samples: np.ndarray, chunk: int, **impairments: Any) -> np.ndarray:
    rng = np.random.default_rng(1)
    channel = StreamChannel(StreamImpairments(**impairments), rng)
    return np.concatenate([channel.through(samples[at : at + chunk], rng) for at in range(0, samples.size, chunk)])


def test_noise_has_the_variance_that_the_snr_says_and_the_gain_scales_both() -> None:
    got = through(np.zeros(100_000, np.complex64), 7000, snr_db=7, gain=3.0)
    assert np.mean(np.abs(got) ** 2) == pytest.approx(9 * 10**-0.7, rel=0.02)


def test_the_offset_runs_on_from_piece_to_piece() -> None:
    got = through(np.ones(5000, np.complex64), 777, frequency_offset=0.01)
    turns = np.angle(got[1:] * np.conj(got[:-1])) / (2 * np.pi)
    assert turns == pytest.approx(0.01, abs=1e-6)


def test_a_late_start_is_silence_and_a_part_of_a_sample() -> None:
    tone = np.exp(2j * np.pi * 0.1 * np.arange(4000)).astype(np.complex64)
    got = through(tone, 4000, start=300)
    late = np.flatnonzero(np.abs(got) > 0.5)[0]
    assert 0 < late < 330
    assert np.abs(got[400:]) == pytest.approx(1, abs=1e-3)
    pieces = through(tone, 501, start=300)
    assert np.abs(pieces - got).max() < 1e-5


def test_silence_comes_before_pieces_and_nothing_is_lost() -> None:
    got = through(np.ones(1000, np.complex64), 100, idle=50)
    assert 1000 < got.size < 1500
    assert np.count_nonzero(got) == 1000


@pytest.mark.parametrize(
    "bad", [{"frequency_offset": 0.6}, {"gain": 0.0}, {"phase_noise": 2.0}, {"start": -1}, {"snr_db": float("nan")}]
)
def test_values_that_cannot_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ChannelError):
        StreamImpairments(**bad)


def test_numbers_are_unwrapped_and_what_is_missing_is_lost_or_another_sender() -> None:
    numbers = SequenceNumbers(most_lost=10)
    assert numbers.arrive(65534) == (65534, 0, False)
    assert numbers.arrive(65535) == (65535, 0, False)
    assert numbers.arrive(0) == (65536, 0, False)
    assert numbers.arrive(11) == (65547, 10, False)
    assert numbers.arrive(23) == (23, 0, True)
    assert numbers.arrive(3) == (3, 0, True)
    assert numbers.arrive(4) == (4, 0, False)
    assert numbers.arrive(4) == (4, 0, True)
