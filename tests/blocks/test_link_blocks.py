"""The blocks of the link, each alone and all in a row, without sockets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_fixtures import TINY, smooth_pictures

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
    UniformQuantizer,
    Unquantized,
)
from semstream.phy import mean_symbol_power
from semstream.runtime import BlockError, Frame, SettingsError
from semstream.testing import harness_of, run_block


def frames_of(pictures: np.ndarray) -> list[Frame]:
    return [Frame({"image": picture}) for picture in pictures]


def chain(frames: list[Frame], *blocks: Any, seed: int = 0) -> list[Frame]:
    for block in blocks:
        frames = run_block(block, frames, seed)
    return frames


def through_link(
    pictures: np.ndarray,
    weights: Path,
    *middle: Any,
    before: tuple[Any, ...] = (),
    mode: str = "linear",
    **channel: Any,
) -> list[Frame]:
    w = str(weights)
    ends = (
        PowerNormalizer(weights=w),
        FadingChannel(**channel),
        Dequantizer(weights=w, mode=mode),
        SwinDecoder(weights=w),
    )
    return chain(frames_of(pictures), *before, SwinEncoder(weights=w), *middle, *ends)


def mean_psnr(sent: np.ndarray, frames: list[Frame]) -> float:
    from semstream.metrics.quality import psnr

    return float(np.mean([psnr(a, frame["image"]) for a, frame in zip(sent, frames, strict=True)]))


def classified(weights: Path, **settings: Any) -> list[Any]:
    w = str(weights)
    return [ContributionClassifier(weights=w), NonUniformQuantizer(weights=w, **settings)]


def test_an_error_free_unquantized_link_gives_what_the_codec_gives(weights: Path, pictures: np.ndarray) -> None:
    direct = chain(frames_of(pictures[:2]), SwinEncoder(weights=str(weights)), SwinDecoder(weights=str(weights)))
    linked = through_link(pictures[:2], weights, Unquantized(weights=str(weights)), snr_db=math.inf)
    for a, b in zip(direct, linked, strict=True):
        difference = a["image"].astype(int) - b["image"].astype(int)
        assert np.abs(difference).max() <= 1


def test_quality_rises_with_snr_on_every_channel(weights: Path, pictures: np.ndarray) -> None:
    for kind in ("awgn", "rayleigh", "rician", "composite"):
        quality = [
            mean_psnr(
                pictures[:3],
                through_link(pictures[:3], weights, *classified(weights, bits=6), channel=kind, snr_db=snr),
            )
            for snr in (0, 10, 20)
        ]
        assert quality == sorted(quality)
        assert quality[2] > quality[0] + 3


def test_non_uniform_bits_beat_uniform_ones_at_the_same_budget(weights: Path, pictures: np.ndarray) -> None:
    for bits in (2, 3):
        ours = through_link(pictures[:4], weights, *classified(weights, bits=bits), snr_db=math.inf)
        theirs = through_link(pictures[:4], weights, UniformQuantizer(weights=str(weights), bits=bits), snr_db=math.inf)
        assert ours[0].tags["payload_bits"] <= theirs[0].tags["payload_bits"]
        assert mean_psnr(pictures[:4], ours) > mean_psnr(pictures[:4], theirs) + 1


@pytest.mark.parametrize("snr_db", [-3, 1, 7, 13])
@pytest.mark.parametrize("bits", [2, 3])
def test_non_uniform_bits_are_no_worse_than_uniform_ones_at_any_snr(
    weights: Path, pictures: np.ndarray, bits: float, snr_db: float
) -> None:
    sweep = SnrSweep(snr_db=[snr_db])
    quality = [
        mean_psnr(pictures, through_link(pictures, weights, *middle, before=(sweep,), noise_key="air"))
        for middle in (classified(weights, bits=bits), [UniformQuantizer(weights=str(weights), bits=bits)])
    ]
    assert quality[0] > quality[1] - 0.02


@pytest.mark.parametrize("mode", ["hard", "linear", "soft"])
def test_every_dequantizer_restores_the_picture(weights: Path, pictures: np.ndarray, mode: str) -> None:
    got = through_link(pictures[:2], weights, *classified(weights, bits=6), mode=mode, snr_db=25)
    assert mean_psnr(pictures[:2], got) > 25


def test_soft_dequantization_is_no_worse_than_hard_or_linear(weights: Path, pictures: np.ndarray) -> None:
    quality = {
        mode: mean_psnr(pictures, through_link(pictures, weights, *classified(weights, bits=3), mode=mode, snr_db=7))
        for mode in ("hard", "linear", "soft")
    }
    assert quality["soft"] > max(quality.values()) - 0.05


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (100, 3)])
def test_odd_sizes_pass_the_whole_link(weights: Path, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    (got,) = through_link(picture[None], weights, *classified(weights, bits=4), snr_db=20)
    assert got["image"].shape == picture.shape


def test_symbols_have_unit_power_in_every_frame(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    for frame in chain(
        frames_of(pictures[:4]), SwinEncoder(weights=w), *classified(weights, bits=2), PowerNormalizer(weights=w)
    ):
        assert mean_symbol_power(frame["symbols"]) == pytest.approx(1.0, rel=2e-3)
        sent = sum(b > 0 for b in frame.tags["bits"]) * 64
        assert frame.tags["channel_uses"] == frame["symbols"].size == math.ceil(sent / 2)
        assert frame.tags["side_bits"] == 32


def test_power_p_scales_the_symbols(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    (frame,) = chain(
        frames_of(pictures[:1]), SwinEncoder(weights=w), Unquantized(weights=w), PowerNormalizer(weights=w, power=4)
    )
    assert mean_symbol_power(frame["symbols"]) == pytest.approx(4.0, rel=2e-3)


@pytest.mark.parametrize("method", ["gradient", "sensitivity", "magnitude", "std"])
def test_an_element_map_travels_and_is_paid_for(weights: Path, pictures: np.ndarray, method: str) -> None:
    w = str(weights)
    classify = ContributionClassifier(weights=w, method=method, granularity="element", classes=3)
    got = through_link(
        pictures[:1], weights, classify, NonUniformQuantizer(weights=w, bits=6, scheme="fixed"), snr_db=30
    )
    assert got[0].tags["class_map"] is True
    assert got[0].tags["side_bits"] > 32 + 8 * 8 * TINY.channels
    assert (got[0].tags["payload_bits"] + got[0].tags["side_bits"] - 32) <= 6 * 8 * 8 * TINY.channels
    assert mean_psnr(pictures[:1], got) > 20


def test_classes_are_the_profiles_and_change_live(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    features = chain(frames_of(pictures[:1]), SwinEncoder(weights=w))
    block = ContributionClassifier(weights=w, classes=3)
    (frame,) = run_block(block, features)
    assert sorted(np.bincount(frame["classes"])) == [2, 3, 3]
    harness_of(block).set(classes=0)
    harness_of(block).give(features[0])
    assert len(np.unique(harness_of(block).outputs["classified"][-1]["classes"])) == TINY.channels
    most = int(frame["contribution"].argmax())
    assert frame["classes"][most] == 0


def test_the_same_seed_gives_the_same_noise_and_branches_can_share_it(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    symbols = chain(frames_of(pictures[:2]), SwinEncoder(weights=w), Unquantized(weights=w), PowerNormalizer(weights=w))

    def received(seed: int, **settings: Any) -> np.ndarray:
        return run_block(FadingChannel(**settings), symbols, seed)[1]["received"]

    assert np.array_equal(received(1, name="a"), received(1, name="a"))
    assert not np.array_equal(received(1, name="a"), received(2, name="a"))
    assert not np.array_equal(received(1, name="a"), received(1, name="b"))
    assert np.array_equal(received(1, name="a", noise_key="k"), received(1, name="b", noise_key="k"))


def test_a_swept_snr_is_held_and_followed(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    sweep = SnrSweep(snr_db=[1.0, math.inf], hold=2)
    frames = chain(
        frames_of(pictures[:5]), sweep, SwinEncoder(weights=w), *classified(weights), PowerNormalizer(weights=w)
    )
    received = run_block(FadingChannel(snr_db=30), frames)
    assert [f.tags["snr_db"] for f in received] == [1.0, 1.0, math.inf, math.inf, 1.0]
    assert received[0]["noise_variance"][0] == pytest.approx(10**-0.1)
    assert not received[2]["noise_variance"].any()
    ignored = run_block(FadingChannel(snr_db=30, follow_snr=False), frames)
    assert {f.tags["snr_db"] for f in ignored} == {30.0}


def test_bits_follow_the_snr_of_the_frame(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    sweep = SnrSweep(snr_db=[-5.0, math.inf], hold=1)
    low, high = chain(frames_of(pictures[:2]), sweep, SwinEncoder(weights=w), *classified(weights, bits=3))
    assert low.tags["bits"] != high.tags["bits"]


def test_features_that_are_not_finite_are_skipped_and_the_sequence_goes_on(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    good = chain(frames_of(pictures[:3]), SwinEncoder(weights=w))
    bad = good[1]["features"].copy()
    bad[0, 0, 0] = np.nan
    for block in (UniformQuantizer(weights=w), Unquantized(weights=w)):
        out = run_block(block, [good[0], good[1].replace({"features": bad}), good[2]])
        assert [frame.seq for frame in out] == [0, 2]
        assert harness_of(block).skips == ["features"]


def test_a_budget_that_cannot_be_met_names_block_and_setting(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    frames = chain(frames_of(pictures[:1]), SwinEncoder(weights=w), ContributionClassifier(weights=w, classes=1))
    with pytest.raises(BlockError, match=r"block 'q', setting 'bits'.*raise the budget"):
        run_block(NonUniformQuantizer(name="q", weights=w, bits=0.5), frames)


@pytest.mark.parametrize("bits", [0, 13, "many"])
def test_a_setting_out_of_range_is_refused_with_the_range(bits: Any) -> None:
    with pytest.raises(SettingsError, match=r"bits.*bits/feature"):
        UniformQuantizer(bits=bits)


def test_foreign_frames_are_skipped_and_counted(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    sent = chain(frames_of(pictures[:1]), SwinEncoder(weights=w), *classified(weights), PowerNormalizer(weights=w))
    received = run_block(FadingChannel(), sent)[0]
    short = received.replace({name: array[:-3].copy() for name, array in received.arrays.items()})
    untagged = Frame(received.arrays, seq=5)
    ungained = received.replace(tags={"power_gain": "loud"})
    block = Dequantizer(weights=w)
    assert run_block(block, [short, untagged, ungained]) == []
    assert harness_of(block).skips == ["side_information"] * 3
    decoder = SwinDecoder(weights=w)
    odd = Frame({"features": np.zeros((3, 3, TINY.channels), np.float32)}, tags={"size": [32, 32], "scale": 1.0})
    assert run_block(decoder, [odd, Frame(odd.arrays)]) == []
    assert harness_of(decoder).skips == ["features"] * 2
    modulator = PowerNormalizer(weights=w)
    codes = chain(frames_of(pictures[:1]), SwinEncoder(weights=w), *classified(weights))[0]
    assert run_block(modulator, [codes.replace({"payload": codes["payload"][:-1].copy()})]) == []
    assert harness_of(modulator).skips == ["payload"]


def test_the_metric_sink_reports_quality_bits_and_channel_uses(
    weights: Path, pictures: np.ndarray, tmp_path: Path
) -> None:
    got = through_link(pictures[:2], weights, *classified(weights, bits=3), snr_db=10)
    got[1] = got[1].replace(tags={"concealed": True})
    sink = MetricSink(branch="b", lpips="off", snapshots=str(tmp_path))
    run_block(sink, {"reference": frames_of(pictures[:2]), "reconstruction": got})
    first, second = harness_of(sink).records
    assert (first["branch"], first["seq"], first["snr_db"], first["channel"], first["scheme"]) == (
        "b",
        0,
        10,
        "awgn",
        "optimal",
    )
    assert first["psnr_db"] == pytest.approx(mean_psnr(pictures[:1], got[:1]))
    assert 0 < first["ms_ssim"] < 1
    assert first["lpips"] is None
    assert first["bits_per_feature"] <= 3
    assert first["side_bits_per_feature"] == 32 / (8 * 8 * TINY.channels)
    assert first["cbr"] == first["channel_uses"] / (3 * 32 * 32)
    assert second["seq"] == 1
    assert (first["concealed"], second["concealed"]) == (0, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b_10_received.png", "b_10_sent.png"]


def test_snrs_that_are_measured_do_not_fill_the_disk_with_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocks.metric_sink.MOST_SNAPSHOTS", 3)
    sent = frames_of(smooth_pictures(8, 16))
    got = [frame.replace(tags={"snr_db": seq / 7}) for seq, frame in enumerate(sent)]
    sink = MetricSink(branch="b", lpips="off", ms_ssim=False, snapshots=str(tmp_path))
    run_block(sink, {"reference": sent, "reconstruction": got})
    assert len(harness_of(sink).records) == 8
    assert len(list(tmp_path.iterdir())) == 2 * 3


def test_pictures_of_different_sizes_are_not_compared() -> None:
    sink = MetricSink(lpips="off")
    pair = frames_of(smooth_pictures(1, 32)), frames_of(smooth_pictures(1, 16))
    run_block(sink, {"reference": pair[0], "reconstruction": pair[1]})
    assert harness_of(sink).skips == ["size"]
    assert harness_of(sink).records == []


def sent_with_copies(weights: Path, picture: np.ndarray, most: int = 0, **settings: Any) -> Frame:
    quantizer = classified(weights, bits=8, most_channels=most)
    normalizer = PowerNormalizer(weights=str(weights), **settings)
    (frame,) = chain(frames_of(picture[None]), SwinEncoder(weights=str(weights)), *quantizer, normalizer)
    return frame


def test_dimensions_left_over_carry_copies_that_make_the_picture_better(weights: Path, pictures: np.ndarray) -> None:
    w, quality = str(weights), {}
    for dimensions, kind in ((8, "folded"), (12, "repeated"), (12, "folded")):
        normalizer = PowerNormalizer(weights=w, dimensions=dimensions, copies=kind)
        air = (FadingChannel(snr_db=16.0), Dequantizer(weights=w), SwinDecoder(weights=w))
        sent = chain(
            frames_of(pictures[:8]), SwinEncoder(weights=w), *classified(weights, bits=8, design_snr_db=16.0),
            normalizer,
        )  # fmt: skip
        assert all(mean_symbol_power(frame["symbols"]) == pytest.approx(1, rel=1e-3) for frame in sent)
        assert {frame.tags["channel_uses"] for frame in sent} == {32 * dimensions}
        quality[dimensions, kind] = mean_psnr(pictures[:8], chain(sent, *air))
    assert quality[12, "folded"] > quality[12, "repeated"] > quality[8, "folded"] + 0.5


def test_copies_arrive_without_error_where_there_is_no_noise(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    received = []
    for dimensions in (0, 13):
        normalizer = PowerNormalizer(weights=w, dimensions=dimensions)
        ends = (normalizer, FadingChannel(snr_db=math.inf), Dequantizer(weights=w))
        (frame,) = chain(frames_of(pictures[:1]), SwinEncoder(weights=w), *classified(weights, bits=8), *ends)
        received.append(frame["features"])
    np.testing.assert_allclose(received[1], received[0], atol=2e-3)


def test_more_channels_than_dimensions_and_maps_of_classes_are_told(weights: Path, pictures: np.ndarray) -> None:
    frame = sent_with_copies(weights, pictures[0], most=5, dimensions=8)
    assert len(frame.tags["copies"]) == 8 - sum(b > 0 for b in frame.tags["bits"])
    with pytest.raises(BlockError, match="most_channels to 5"):
        sent_with_copies(weights, pictures[0], dimensions=5)
    by_element = ContributionClassifier(weights=str(weights), granularity="element", classes=3)
    middle = (by_element, NonUniformQuantizer(weights=str(weights)))
    with pytest.raises(BlockError, match="granularity"):
        chain(
            frames_of(pictures[:1]), SwinEncoder(weights=str(weights)), *middle,
            PowerNormalizer(weights=str(weights), dimensions=12),
        )  # fmt: skip


@pytest.mark.parametrize("told", ["no", [[0, 1.0, 1.0]], [[99, 1.0, 1.0]]])
def test_copies_that_cannot_be_true_are_left_out_and_counted(weights: Path, pictures: np.ndarray, told: Any) -> None:
    frame = sent_with_copies(weights, pictures[0], dimensions=12)
    (heard,) = run_block(FadingChannel(snr_db=7.0), [frame])
    dequantizer = Dequantizer(weights=str(weights))
    assert run_block(dequantizer, [heard.replace(tags={"copies": told})]) == []
    assert harness_of(dequantizer).skips == ["side_information"]
