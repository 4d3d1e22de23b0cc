"""Adapting to bandwidth and SNR: estimates without bias, budgets that fit, pictures that come too late."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radio import needs_radio

from blocks import (
    BandwidthSchedule,
    ContributionClassifier,
    FadingChannel,
    KeepLast,
    NonUniformQuantizer,
    PowerNormalizer,
    QamDemodulator,
    QamModulator,
    RateController,
    SnrEstimator,
    SnrSweep,
    SwinEncoder,
)
from semstream.codec.profile import Profile
from semstream.phy import generator
from semstream.phy.channel import apply
from semstream.phy.estimation import noise_variance_from_pilots, pilot_symbols, snr_db_from
from semstream.quantize.errors import AllocationError
from semstream.runtime import Frame
from semstream.testing import Harness, harness_of, run_block


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_the_noise_estimate_has_no_bias(known: bool, snr_db: float) -> None:
    pilots = pilot_symbols(32)
    estimates = []
    for seq in range(400):
        heard = apply(pilots, "rayleigh", snr_db, generator(1, "pilots", seq), coherence="frame")
        estimates.append(noise_variance_from_pilots(heard.received, pilots, heard.csi if known else None))
    true = 10 ** (-snr_db / 10)
    assert np.mean(estimates) == pytest.approx(true, rel=4 / math.sqrt(400 * 31))
    assert np.std(estimates) == pytest.approx(true / math.sqrt(32 if known else 31), rel=0.15)


def test_what_cannot_be_estimated_says_why() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        noise_variance_from_pilots(np.ones(1, complex), np.ones(1, complex), None)
    with pytest.raises(ValueError, match="shapes"):
        noise_variance_from_pilots(np.ones(3, complex), np.ones(2, complex), None)
    assert snr_db_from(0.0) == 60
    assert snr_db_from(0.1) == pytest.approx(10)


def pictures(count: int, side: int = 32) -> list[Frame]:
    return [Frame({"image": np.full((side, side, 3), i, np.uint8)}, seq=i) for i in range(count)]


@pytest.mark.parametrize("delay", [0, 3])
def test_the_estimate_follows_the_snr_as_late_as_it_is_said_to(delay: int) -> None:
    frames = run_block(SnrSweep(snr_db=[0.0, 20.0], hold=20), pictures(40))
    got = run_block(SnrEstimator(pilots=2000, delay=delay, memory=0.0), frames)
    estimates = [frame.tags.get("snr_estimate_db") for frame in got]
    assert estimates[:delay] == [None] * delay
    assert estimates[delay : 20 + delay] == pytest.approx([0.0] * 20, abs=0.6)
    assert estimates[20 + delay :] == pytest.approx([20.0] * (20 - delay), abs=0.6)


def test_the_bandwidth_is_drawn_from_the_seed_and_held() -> None:
    block = {"low": 1 / 24, "high": 1 / 3, "hold": 4}
    uses = [f.tags["bandwidth_uses"] for f in run_block(BandwidthSchedule(**block), pictures(40), seed=3)]
    assert uses == [f.tags["bandwidth_uses"] for f in run_block(BandwidthSchedule(**block), pictures(40), seed=3)]
    assert uses != [f.tags["bandwidth_uses"] for f in run_block(BandwidthSchedule(**block), pictures(40), seed=4)]
    assert all(len(set(uses[i : i + 4])) == 1 for i in range(0, 40, 4))
    assert 3072 / 24 - 1 <= min(uses) <= max(uses) <= 3072 / 3


@pytest.mark.parametrize("uses", [32, 100, 128, 256, 10_000])
def test_what_is_sent_fits_into_the_bandwidth_and_uses_it(weights: Path, uses: int) -> None:
    name = str(weights)  # 8 channels of 64 sites a picture: 32 uses a channel
    frames = [frame.replace(tags={"bandwidth_uses": uses, "snr_db": 7.0}) for frame in pictures(1)]
    for block in (
        SwinEncoder(weights=name),
        ContributionClassifier(weights=name),
        RateController(bits=6),
        NonUniformQuantizer(weights=name),
        PowerNormalizer(weights=name),
    ):
        frames = run_block(block, frames)
    (frame,) = frames
    assert frame.tags["channel_uses"] <= uses
    assert frame.tags["channel_uses"] % 32 == 0
    assert frame.tags["payload_bits"] <= 6 * 2 * frame.tags["channel_uses"] + 6 * 64


@pytest.mark.parametrize("kind", ["folded", "repeated"])
@pytest.mark.parametrize("uses", [100, 256, 400, 10_000])
def test_copies_fill_the_bandwidth_that_is_left_over(weights: Path, uses: int, kind: str) -> None:
    name = str(weights)
    frames = [frame.replace(tags={"bandwidth_uses": uses, "snr_db": 13.0}) for frame in pictures(1)]
    for block in (
        SwinEncoder(weights=name),
        ContributionClassifier(weights=name),
        RateController(weights=name, copies=kind),
        NonUniformQuantizer(weights=name),
        PowerNormalizer(weights=name),
    ):
        frames = run_block(block, frames)
    (frame,) = frames
    assert frame.tags["channel_uses"] == min(uses - uses % 32, 512)  # 16 dimensions at most: each channel twice
    if uses > 256:
        assert frame.tags["copies"]
    if kind == "repeated":
        assert all(math.isinf(width) for _, width, _ in frame.tags["copies"])


def as_bits(weights: Path, tags: dict[str, Any], **settings: Any) -> tuple[Harness, list[Frame]]:
    """Frames over QAM by a controller, and the controller."""
    name = str(weights)
    frames = [f.replace(tags=tags) for f in pictures(1)]
    for block in (SwinEncoder(weights=name), ContributionClassifier(weights=name)):
        frames = run_block(block, frames)
    controller = RateController(weights=name, modulation="qam", **settings)
    for block in (controller, NonUniformQuantizer(weights=name), QamModulator(weights=name)):
        frames = run_block(block, frames)
    return harness_of(controller), frames


@needs_radio
def test_order_rate_and_bits_over_qam_rise_with_the_snr_and_fill_the_bandwidth(weights: Path) -> None:
    told = []
    for snr_db in (0.5, 3.0, 7.0, 13.0, 25.0):
        _, (frame,) = as_bits(weights, {"bandwidth_uses": 900, "snr_db": snr_db})
        form = frame.tags["qam_format"]
        assert 800 < frame.tags["channel_uses"] <= 900
        told.append((form["order"], frame.tags["payload_bits"]))
        heard = run_block(FadingChannel(snr_db=snr_db), [frame])
        (got,) = run_block(QamDemodulator(weights=str(weights)), heard)
        assert (got.tags["concealed"], got.tags["words_failed"]) == (False, 0)
    assert told == sorted(told)
    assert told[0][0] == 4
    assert told[-1][0] > 16


@needs_radio
def test_a_controller_over_qam_goes_by_the_estimate_the_channel_and_the_backoff(weights: Path) -> None:
    known = {"bandwidth_uses": 900, "snr_db": 4.0, "snr_estimate_db": 13.0}

    def bits(**settings: Any) -> int:
        _, (frame,) = as_bits(weights, known, **settings)
        return int(frame.tags["payload_bits"])

    assert bits(snr="estimated") > bits() > bits(channel="rayleigh") > bits(channel="rayleigh", backoff_db=4.0)
    assert bits(snr="fixed", fixed_snr_db=13.0) == bits(snr="estimated")
    assert bits(most_bits=300) <= 300


@needs_radio
def test_a_bandwidth_too_small_for_a_header_leaves_the_frame_out(weights: Path) -> None:
    controller, frames = as_bits(weights, {"bandwidth_uses": 60, "snr_db": 7.0})
    assert (controller.skips, frames) == (["bandwidth"], [])


@needs_radio
@pytest.mark.parametrize("told", ["16-QAM", {"order": 16}, {"order": 32}])
def test_a_format_that_is_none_is_skipped_and_counted_or_not_followed(weights: Path, told: Any) -> None:
    name = str(weights)
    frames = [f.replace(tags={"qam_format": told}) for f in pictures(1)]
    for block in (SwinEncoder(weights=name), ContributionClassifier(weights=name), NonUniformQuantizer(weights=name)):
        frames = run_block(block, frames)
    modulator = QamModulator(weights=name)
    assert run_block(modulator, frames) == []
    assert harness_of(modulator).skips == ["qam_format"]
    assert len(run_block(QamModulator(weights=name, follow_rate=False), frames)) == 1


def test_a_limit_in_bits_holds_besides(weights: Path) -> None:
    name = str(weights)
    frames = [f.replace(tags={"bandwidth_uses": 256, "bandwidth_bits": 700, "snr_db": 7.0}) for f in pictures(1)]
    chain = [SwinEncoder(weights=name), ContributionClassifier(weights=name), RateController()]
    for block in (*chain, NonUniformQuantizer(weights=name)):
        frames = run_block(block, frames)
    assert 500 <= frames[0].tags["payload_bits"] <= 700


def test_the_estimate_is_what_is_allocated_for_where_asked(weights: Path) -> None:
    tags = {"bandwidth_uses": 256, "snr_db": 20.0, "snr_estimate_db": 3.0}
    frames = [f.replace(tags=tags) for f in pictures(1)]
    for block in (SwinEncoder(weights=str(weights)), ContributionClassifier(weights=str(weights))):
        frames = run_block(block, frames)
    assert "design_snr_db" not in run_block(RateController(), frames)[0].tags
    assert run_block(RateController(snr="estimated"), frames)[0].tags["design_snr_db"] == 3.0


def test_no_bandwidth_at_all_skips_the_frame_and_counts_it(weights: Path) -> None:
    frames = [f.replace(tags={"bandwidth_uses": 10}) for f in pictures(1)]
    for block in (SwinEncoder(weights=str(weights)), ContributionClassifier(weights=str(weights))):
        frames = run_block(block, frames)
    harness = Harness(RateController())
    harness.give(frames[0])
    assert harness.skips == ["bandwidth"]


def test_a_limit_on_features_keeps_those_that_matter_most(profile: Profile) -> None:
    count = 64 * profile.channels
    bits = profile.allocate("optimal", 2, feature_count=count, most_features=3 * 64)
    assert (bits > 0).sum() <= 3
    weight = profile.contribution["sensitivity"] * profile.variance
    assert set(np.flatnonzero(bits)) <= set(np.argsort(-weight)[:3].tolist())
    assert (profile.allocate("optimal", 2, feature_count=count, most_features=count) == profile.allocate(
        "optimal", 2, feature_count=count)).all()  # fmt: skip
    with pytest.raises(AllocationError, match="fewer than one class"):
        profile.allocate("optimal", 2, feature_count=count, most_features=63)
    with pytest.raises(AllocationError, match="optimal"):
        profile.allocate("uniform", 2, feature_count=count, most_features=64)


def test_a_late_picture_shows_the_last_one_again() -> None:
    late = [False, False, True, True, False]
    frames = [
        f.replace(tags={"channel_uses": 100, "bandwidth_uses": 50 if is_late else 100})
        for f, is_late in zip(pictures(5), late, strict=True)
    ]
    shown = run_block(KeepLast(), frames)
    assert [int(f["image"][0, 0, 0]) for f in shown] == [0, 1, 1, 1, 4]
    assert [f.tags["late"] for f in shown] == late
    assert [f.tags.get("concealed", False) for f in shown] == late
    assert int(run_block(KeepLast(), frames[2:3])[0]["image"][0, 0, 0]) == 128
    assert run_block(KeepLast(), pictures(1))[0].tags["late"] is False
