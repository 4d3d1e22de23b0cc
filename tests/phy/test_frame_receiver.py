"""Frames in an endless stream: found whatever the chunks, the start, the offsets; and what is wrong is counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radio import needs_radio

from semstream.phy.air_frame import HEADER_BITS, AirFormat, AirHeader, UnknownFrameError, header_symbols
from semstream.phy.control import ControlError
from semstream.phy.errors import PhyError
from semstream.phy.frame_receiver import AirReception, FrameReceiver
from semstream.phy.pulse import Pulse
from semstream.phy.qam import qam_modulate
from semstream.phy.sample_buffer import SampleBuffer
from semstream.phy.stream_channel import StreamChannel, StreamImpairments
from semstream.phy.waveform import known_symbols

pytestmark = needs_radio
FORM = AirFormat()


def payload(seed: int, count: int = 600) -> np.ndarray:
    return qam_modulate(np.random.default_rng(seed).integers(0, 2, 4 * count, np.uint8), 16)


def stream(frames: int, count: int = 600, seed: int = 0, form: AirFormat = FORM, **impairments: Any) -> np.ndarray:
    """Frames 0, 1, … through a channel, and noise behind the last."""
    rng = np.random.default_rng(seed)
    channel = StreamChannel(StreamImpairments(**impairments), rng)
    parts = [
        channel.through(form.samples(payload(n, count), AirHeader("qam", n, count, 32)), rng) for n in range(frames)
    ]
    return np.concatenate([*parts, channel.through(np.zeros(4096, np.complex64), rng)])


def received(
    samples: np.ndarray, chunk: int = 5000, form: AirFormat = FORM
) -> tuple[FrameReceiver, list[AirReception]]:
    receiver = FrameReceiver(form)
    got = [frame for at in range(0, samples.size, chunk) for frame in receiver.feed(samples[at : at + chunk])]
    receiver.finish()
    return receiver, got


def error_db(got: AirReception, count: int = 600) -> float:
    symbols = got.reception.received / got.reception.csi
    return float(10 * np.log10(np.mean(np.abs(symbols - payload(got.header.seq, count)) ** 2)))


@pytest.mark.parametrize("rate", [2, 3, 4, 8])
def test_a_pulse_and_its_matched_filter_leave_the_symbols_alone_wherever_they_start(rate: int) -> None:
    pulse = Pulse(rate)
    sent = known_symbols(300)
    assert np.sum(pulse.taps() ** 2) == pytest.approx(1, abs=1e-3)
    late = np.convolve(pulse.shaped(sent), np.sinc(np.arange(-64, 65) - 0.3) * np.kaiser(129, 8.0))
    got = pulse.matched(np.pad(late, (0, 8)), pulse.reach + 64.3, 300)
    assert np.mean(np.abs(got - sent) ** 2) < 1e-4


@pytest.mark.parametrize("bad", [{"samples_per_symbol": 1}, {"rolloff": 0.0}, {"rolloff": 1.1}, {"span": 1}])
def test_a_pulse_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(PhyError, match="pulse: expected"):
        Pulse(**bad)
    with pytest.raises(PhyError, match="gap: expected at least 16"):
        AirFormat(gap=15)
    with pytest.raises(PhyError, match="preamble: expected"):
        AirFormat(preamble=100)


@settings(deadline=None, max_examples=25)
@given(
    seq=st.integers(0, 2**16 - 1),
    symbols=st.integers(1, 2**20 - 1),
    spacing=st.sampled_from([16, 32, 64, 128]),
    modulation=st.sampled_from(["qam", "pam"]),
)
def test_a_header_reads_back(seq: int, symbols: int, spacing: int, modulation: str) -> None:
    header = AirHeader(modulation, seq, symbols, spacing)
    assert AirHeader.from_symbols(header.to_symbols(), 0.1) == header


def test_a_header_of_another_version_or_modulation_says_so_and_noise_is_none() -> None:
    bits = np.zeros(HEADER_BITS, np.uint8)
    with pytest.raises(UnknownFrameError, match="version 0; this receiver reads version 1"):
        AirHeader.from_symbols(header_symbols(bits), 0.1)
    bits[3] = bits[4] = 1  # version 1, modulation 8
    with pytest.raises(UnknownFrameError, match="modulation number 8"):
        AirHeader.from_symbols(header_symbols(bits), 0.1)
    with pytest.raises(ControlError):
        AirHeader.from_symbols(payload(1, 128), 0.1)
    with pytest.raises(PhyError, match="expected 1 to"):
        AirHeader("qam", 0, 0, 32).to_symbols()


@pytest.mark.parametrize("seed", range(3))
def test_no_frame_is_lost_at_7_db_with_offset_and_random_start(seed: int) -> None:
    offset, gain = 0.005 * (-1) ** seed, 10.0 ** (2 * seed - 2)
    samples = stream(20, seed=seed, snr_db=7, frequency_offset=offset, gain=gain, start=5000, idle=2000)
    receiver, got = received(samples)
    assert [frame.header.seq for frame in got] == list(range(20))
    assert receiver.counts["headers_lost"] == receiver.counts["cut"] == 0
    assert np.mean([frame.snr_db for frame in got]) == pytest.approx(7, abs=0.4)
    assert np.mean([error_db(frame) for frame in got]) == pytest.approx(-7, abs=0.3)
    told = np.mean([frame.reception.noise_variance.mean() for frame in got])
    assert 10 * math.log10(told) == pytest.approx(-7, abs=0.4)
    assert np.abs([frame.frequency - 0.01 * (-1) ** seed for frame in got]).max() < 1e-3


@pytest.mark.parametrize("missing", [0, 5, 15, 16, 17])
def test_a_frame_that_begins_with_the_stream_is_read(missing: int) -> None:
    _, got = received(stream(2, snr_db=20)[missing:])
    assert [frame.header.seq for frame in got] == [0, 1]
    assert error_db(got[0]) < -18


@pytest.mark.parametrize("rate", [3, 4, 5])
def test_any_number_of_samples_a_symbol_will_do(rate: int) -> None:
    form = AirFormat(Pulse(rate, 0.35))
    _, got = received(stream(4, form=form, snr_db=15, start=900, frequency_offset=0.01 / rate), form=form)
    assert [frame.header.seq for frame in got] == [0, 1, 2, 3]
    assert max(error_db(frame) for frame in got) < -14


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    return stream(4, 300, snr_db=8, frequency_offset=0.004, start=700, idle=900)


@settings(deadline=None, max_examples=8)
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=8))
def test_any_cut_of_the_stream_gives_the_same_frames(noisy: np.ndarray, sizes: list[int]) -> None:
    _, whole = received(noisy, noisy.size)
    receiver, at, got = FrameReceiver(FORM), 0, []
    while at < noisy.size:
        for size in [*sizes, 1777]:
            got += receiver.feed(noisy[at : at + size])
            at += size
    assert len(got) == len(whole) == 4
    for a, b in zip(whole, got, strict=True):
        assert (a.header, a.place, a.snr_db) == (b.header, b.place, b.snr_db)
        assert all(np.array_equal(x, y) for x, y in zip(a.reception, b.reception, strict=True))


def test_even_sample_by_sample(noisy: np.ndarray) -> None:
    _, got = received(noisy, 1)
    assert [frame.header.seq for frame in got] == [0, 1, 2, 3]


def test_noise_and_silence_are_no_frames() -> None:
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((200_000, 2)) @ [1, 1j]).astype(np.complex64)
    for samples in (noise, np.zeros(50_000, np.complex64), np.ones(50_000, np.complex64)):
        receiver, got = received(samples)
        assert got == []
        assert receiver.counts["preambles"] == 0
        assert receiver.quiet > samples.size - 3000


def test_samples_that_are_no_numbers_cost_their_symbols_and_no_more() -> None:
    samples = stream(2, snr_db=30).copy()
    start = 2 * (FORM.opening + 100) + FORM.pulse.reach
    samples[start : start + 40] = np.nan
    samples[start + 100] = np.inf
    receiver, got = received(samples)
    assert receiver.counts["not_finite"] == 41
    assert [frame.not_finite for frame in got] == [41, 0]
    silent = got[0].reception.csi == 0
    assert 20 <= np.count_nonzero(silent) <= 26
    symbols = got[0].reception.received[~silent] / got[0].reception.csi[~silent]
    assert np.median(np.abs(symbols - payload(0)[~silent])) < 0.05


def test_a_stream_that_is_cut_within_a_frame_says_so() -> None:
    samples = stream(2, snr_db=20)
    receiver, got = received(samples[: samples.size - 4096 - 400])
    assert [frame.header.seq for frame in got] == [0]
    assert receiver.counts["cut"] == 1


def test_of_two_frames_on_top_of_each_other_one_is_read_and_the_next_one_after_them() -> None:
    frames = [FORM.samples(payload(n), AirHeader("qam", n, 600, 32)) for n in range(3)]
    samples = np.zeros(8000, np.complex64)
    for start, frame in zip((0, 1500, 4000), frames, strict=True):
        samples[start : start + frame.size] += frame
    _, got = received(samples)
    assert [frame.header.seq for frame in got] == [0, 2]


def test_behind_a_header_that_is_lost_the_search_goes_on() -> None:
    samples = stream(3, snr_db=20).copy()
    samples[2 * 140 : 2 * 256] = 0
    receiver, got = received(samples)
    assert [frame.header.seq for frame in got] == [1, 2]
    assert receiver.counts["headers_lost"] == 1


def test_a_header_that_claims_too_much_is_not_believed() -> None:
    receiver = FrameReceiver(FORM, longest=500)
    assert receiver.feed(stream(2, snr_db=20)) == []
    assert receiver.counts["headers_lost"] == 2
    other = FrameReceiver(FORM, modulation="pam")
    assert other.feed(stream(2, snr_db=20)) == []
    assert other.counts["modulation"] == 2
    assert "'qam'; 'pam' is what is read here" in other.refused


def test_a_phase_that_wanders_is_followed_and_a_steady_gain_is_known_better() -> None:
    steady = received(stream(3, 4000, snr_db=15))[1]
    moving = received(stream(3, 4000, snr_db=15, phase_noise=2e-5))[1]
    assert len(steady) == len(moving) == 3
    assert max(error_db(frame, 4000) for frame in steady) < -14.8
    assert max(error_db(frame, 4000) for frame in moving) < -13
    followed = [np.ptp(np.unwrap(np.angle(frame.reception.csi))) for frame in moving]
    assert max(followed) > 0.2


@settings(max_examples=50)
@given(steps=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 900)), max_size=30))
def test_a_buffer_holds_what_is_not_forgotten(steps: list[tuple[int, int]]) -> None:
    buffer, whole = SampleBuffer(5), np.zeros(5, np.complex64)
    for number, (size, keep) in enumerate(steps):
        part = (number + 1j * np.arange(size)).astype(np.complex64)
        buffer.append(part)
        whole = np.concatenate([whole, part])
        buffer.forget(buffer.end - keep)
        assert buffer.end == whole.size - 5
        assert np.array_equal(buffer.view(buffer.begin, buffer.end), whole[buffer.begin + 5 :])
