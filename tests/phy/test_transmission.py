"""A frame over channels that must be estimated: the noise that is told is the noise that is there."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from scipy.special import j0

from semstream.phy import NOISE_CAP, ChannelError, CompositeOptions, apply, generator, mmse
from semstream.phy.impairments import Impairments
from semstream.phy.standard_fading import MovingOptions, StandardFading
from semstream.phy.transmission import Air, Transmission, transmit

OFFSETS = Impairments(frequency_offset=0.01, phase_noise=1e-4, timing_offset=50.0)
SENT = generator(0, "symbols", 0).standard_normal((2000, 2), np.float32).view(np.complex64)[:, 0] / np.float32(2**0.5)


def moving(kind: str, doppler: float = 1e-3, profile: str = "A", delay_spread: float = 0.7) -> StandardFading:
    pytest.importorskip("sionna", reason="needs the extra radio: pip install 'semstream[radio]'")
    return StandardFading(MovingOptions(kind, doppler, profile, delay_spread), CompositeOptions())


def sent_over(air: Air, snr_db: float = 10.0, frames: int = 8, seed: int = 0) -> list[Transmission]:
    return [transmit(SENT, air, snr_db, generator(seed, "air", seq), time=seq) for seq in range(frames)]


def noise_and_told(results: list[Transmission]) -> tuple[float, float]:
    """Mean |y − ĥ·s|², and what the receiver takes it for."""
    found = [r.reception for r in results if r.found]
    there = np.mean([np.mean(np.abs(r.received - r.csi * SENT) ** 2) for r in found])
    return float(there), float(np.mean([np.mean(r.noise_variance) for r in found]))


def loss_db(air: Air, frames: int = 8) -> float:
    """What estimation costs of the symbols' mean squared error, on the same gains and noise."""
    error = {}
    for csi in ("estimated", "perfect"):
        # The share and the preamble of estimation are kept where CSI is perfect, so that the channel is the same.
        same = Air(
            air.kind, csi, air.estimator, 0.1, air.preamble_length, air.impairments, air.coherence,  # type: ignore[arg-type]
            moving=air.moving,
        )  # fmt: skip
        symbols = [mmse(*r.reception).mmse for r in sent_over(same, frames=frames)]
        error[csi] = np.mean([np.mean(np.abs(s - SENT) ** 2) for s in symbols])
    return float(10 * np.log10(error["estimated"] / error["perfect"]))


@pytest.mark.parametrize("kind", ["awgn", "rayleigh", "rician", "composite"])
def test_perfect_csi_without_pilots_is_the_channel_itself(kind: str) -> None:
    plain = apply(SENT, kind, 7.0, generator(3, "air", 5), time=5)
    got = transmit(SENT, Air(kind), 7.0, generator(3, "air", 5), time=5)
    assert got.channel_uses == SENT.size
    for a, b in zip(plain, got.reception, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("estimator", ["ls", "mmse"])
@pytest.mark.parametrize(
    ("kind", "coherence"),
    [
        ("awgn", "symbol"), ("rayleigh", 64), ("rayleigh", "frame"), ("rician", 64), ("rician", "frame"),
        ("composite", "symbol"), ("composite", 640), ("composite", "frame"),
    ],
)  # fmt: skip
def test_the_decoder_is_told_the_error_of_the_estimate_as_noise(kind: str, coherence: Any, estimator: Any) -> None:
    results = sent_over(Air(kind, "estimated", estimator, coherence=coherence), frames=30)
    there, told = noise_and_told(results)
    # A response that holds for the frame gives but 30 draws of the error of straight lines across it.
    assert told == pytest.approx(there, rel=0.35 if kind == "composite" and estimator == "ls" else 0.1)
    assert all(r.channel_uses == pytest.approx(SENT.size / 0.9, rel=0.01) for r in results)
    assert [r.reception.received.size for r in results] == [SENT.size] * 30


def test_estimation_reads_nothing_but_the_received_pilots() -> None:
    # The same gains at infinite SNR, once with symbols of other values: the estimate cannot tell.
    air = Air("rayleigh", "estimated", coherence=50)
    other = (SENT * np.exp(1j * np.arange(SENT.size))).astype(np.complex64)
    a, b = (transmit(s, air, math.inf, generator(0, "air", 0)) for s in (SENT, other))
    assert np.array_equal(a.reception.csi, b.reception.csi)


def test_perfect_csi_meets_the_same_gains_as_estimated() -> None:
    true = transmit(SENT, Air("rayleigh", pilots=0.1, coherence=50), math.inf, generator(0, "air", 0))
    found = transmit(SENT, Air("rayleigh", "estimated", coherence=50), math.inf, generator(0, "air", 0))
    assert np.array_equal(true.reception.received, found.reception.received)
    assert np.allclose(true.reception.csi, found.reception.csi, atol=1e-3)
    assert true.channel_uses == found.channel_uses


def test_a_block_of_64_costs_half_a_decibel_and_a_frame_next_to_nothing() -> None:
    # 6 or 7 pilots a block: 10·log10(1 + 1/6.4) = 0.63 dB of noise, less in fades.
    assert 0.2 < loss_db(Air("rayleigh", "estimated", coherence=64), frames=20) < 0.63
    assert loss_db(Air("rayleigh", "estimated", coherence="frame"), frames=20) < 0.05


@pytest.mark.parametrize(("kind", "coherence"), [("awgn", "symbol"), ("rician", "frame"), ("rayleigh", 256)])
def test_a_burst_that_starts_late_and_turns_costs_less_than_a_decibel(kind: str, coherence: Any) -> None:
    air = Air(kind, "estimated", impairments=OFFSETS, coherence=coherence)
    results = sent_over(air, frames=20)
    heard = [r for r in results if r.found]
    assert len(heard) >= (20 if kind == "awgn" else 16), "a deep fade may swallow a preamble"
    there, told = noise_and_told(heard)
    assert told == pytest.approx(there, rel=0.15)
    assert there < 0.126
    assert {r.channel_uses for r in results} == {SENT.size + 224 + 64}


def test_a_preamble_that_is_never_heard_loses_the_frame_and_tells_so() -> None:
    (lost,) = sent_over(Air("awgn", "estimated", impairments=OFFSETS), snr_db=-20.0, frames=1)
    assert not lost.found
    assert not lost.reception.csi.any()
    assert (lost.reception.noise_variance == NOISE_CAP).all()
    assert lost.channel_uses > SENT.size


@pytest.mark.parametrize("kind", ["doppler", "tdl", "cdl"])
def test_a_moving_channel_has_unit_power_and_is_estimated_with_the_error_that_is_told(kind: str) -> None:
    doppler = 1e-3 if kind == "doppler" else 1e-4
    air = Air(kind, "estimated", moving=moving(kind, doppler))
    there, told = noise_and_told(sent_over(air, frames=30))
    assert told == pytest.approx(there, rel=0.1)
    assert there < 0.13
    power = np.mean([np.abs(air.moving.gains(64, generator(0, "h", i))) ** 2 for i in range(300)])  # type: ignore[union-attr]
    assert power == pytest.approx(1, abs=0.2)


def test_flat_fading_with_doppler_is_correlated_as_jakes_says() -> None:
    fading = moving("doppler", 0.01)
    gains = np.stack([fading.gains(200, generator(1, "h", i)) for i in range(400)])
    for apart in (0, 10, 25, 60):
        measured = np.mean(gains[:, apart:] * np.conj(gains[:, : 200 - apart]))
        assert measured == pytest.approx(j0(2 * np.pi * 0.01 * apart), abs=0.08)


def test_the_draw_is_the_generators_own_whatever_else_draws_from_sionna() -> None:
    import torch

    fading, beside = moving("tdl"), moving("tdl", profile="D")
    first = fading.gains(640, generator(0, "h", 3))
    beside.gains(640, generator(0, "h", 4))
    torch.manual_seed(9)
    assert np.array_equal(fading.gains(640, generator(0, "h", 3)), first)
    assert not np.array_equal(fading.gains(640, generator(0, "h", 4)), first)


def test_an_echo_longer_than_the_prefix_is_told_with_the_spread_that_fits() -> None:
    with pytest.raises(ChannelError, match=r"TDL-E .* at most 0\.7"):
        moving("tdl", profile="E", delay_spread=1.0)


def test_without_sionna_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sionna.phy.channel.tr38901", None)
    with pytest.raises(ChannelError, match=r"semstream\[radio\]"):
        StandardFading(MovingOptions("tdl"), CompositeOptions())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "rayleigh", "csi": "estimated"}, "coherence: .*'frame'"),
        ({"kind": "rician", "csi": "estimated", "estimator": "ls"}, "coherence"),
        ({"kind": "rayleigh", "csi": "estimated", "coherence": 5}, "coherence: .*pilots"),
        ({"csi": "estimated", "pilots": 0}, "pilots: .*0.1"),
        ({"pilots": 0.9}, "pilots"),
        ({"csi": "guessed"}, "csi"),
        ({"kind": "composite", "impairments": OFFSETS}, "impairments"),
        ({"csi": "estimated", "impairments": OFFSETS, "preamble": 0}, "preamble"),
        ({"kind": "tdl"}, "StandardFading"),
    ],
)
def test_what_cannot_be_estimated_is_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ChannelError, match=words):
        transmit(SENT, Air(**settings), 10.0, generator(0, "air", 0))


@pytest.mark.parametrize("kind", ["awgn", "rayleigh", "composite"])
@pytest.mark.parametrize("impairments", [Impairments(), OFFSETS])
def test_an_empty_frame_stays_empty(kind: str, impairments: Impairments) -> None:
    if kind == "composite" and impairments:
        impairments = Impairments()
    air = Air(kind, "estimated", impairments=impairments, coherence="frame")
    got = transmit(np.zeros(0, np.complex64), air, 10.0, generator(0, "air", 0))
    assert [part.size for part in got.reception] == [0, 0, 0]
