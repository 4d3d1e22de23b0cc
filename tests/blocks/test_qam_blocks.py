"""QamModulator and QamDemodulator, alone and in the link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radio import needs_radio

from blocks import (
    ContributionClassifier,
    FadingChannel,
    ImageSource,
    MetricSink,
    NonUniformQuantizer,
    QamDemodulator,
    QamModulator,
    SwinDecoder,
    SwinEncoder,
    Unquantized,
)
from semstream.metrics.quality import psnr
from semstream.runtime import BlockError, Flowgraph, Frame, SettingsError
from semstream.testing import harness_of, run_block

pytestmark = needs_radio


def codes(pictures: np.ndarray, weights: Path, bits: float = 4, **classes: Any) -> list[Frame]:
    frames = [Frame({"image": picture}) for picture in pictures]
    w = str(weights)
    for block in (
        SwinEncoder(weights=w),
        ContributionClassifier(weights=w, **classes),
        NonUniformQuantizer(weights=w, bits=bits, **({"scheme": "fixed"} if classes else {})),
    ):
        frames = run_block(block, frames)
    return frames


def through(frames: list[Frame], *blocks: Any) -> list[Frame]:
    for block in blocks:
        frames = run_block(block, frames)
    return frames


def quality(pictures: np.ndarray, frames: list[Frame]) -> float:
    return float(np.mean([psnr(a, frame["image"]) for a, frame in zip(pictures, frames, strict=True)]))


def received(pictures: np.ndarray, weights: Path, snr_db: float, bits: float = 4, **modulation: Any) -> list[Frame]:
    w = str(weights)
    channel = FadingChannel(snr_db=snr_db, noise_key="air")
    ends = QamModulator(weights=w, **modulation), channel, QamDemodulator(weights=w), SwinDecoder(weights=w)
    return through(codes(pictures, weights, bits), *ends)


def test_coded_bits_have_a_cliff_and_uncoded_ones_a_slope(weights: Path, pictures: np.ndarray) -> None:
    few = pictures[:6]
    coded = [quality(few, received(few, weights, snr, code_rate=0.6)) for snr in (4, 10, 30)]
    assert coded[2] - coded[1] < 0.1
    assert coded[1] - coded[0] > 5
    uncoded = [quality(few, received(few, weights, snr, code_rate=1)) for snr in (4, 10, 16, 30)]
    assert min(np.diff(uncoded)) > 0.3
    assert uncoded[0] > coded[0] - 3


@pytest.mark.parametrize("label", ["gray", "natural"])
def test_every_frame_tells_what_it_took(weights: Path, pictures: np.ndarray, label: str) -> None:
    for frame in received(pictures[:2], weights, 14, order=16, code_rate=0.5, label=label):
        tags = frame.tags
        assert tags["channel_uses"] == pytest.approx(tags["header_uses"] + tags["payload_bits"] / 2, abs=2)
        assert 90 < tags["side_bits"] < tags["header_uses"]
        assert (tags["concealed"], tags["words_failed"]) == (False, 0)
        assert tags["scheme"] == "optimal"


def test_an_element_map_crosses_too(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    frames = codes(pictures[:2], weights, 6, granularity="element", classes=3)
    got = through(frames, QamModulator(weights=w), FadingChannel(snr_db=14), QamDemodulator(weights=w))
    assert all(frame.tags["class_map"] and not frame.tags["concealed"] for frame in got)
    assert all("class_map" not in frame for frame in got)
    assert quality(pictures[:2], through(got, SwinDecoder(weights=w))) > 20


def test_a_lost_header_shows_the_last_good_picture_and_is_counted(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    air = through(codes(pictures[:5], weights), QamModulator(weights=w), FadingChannel(snr_db=20))
    for bad in (0, 3):
        noise = np.random.default_rng(bad).standard_normal((air[bad]["received"].size, 2)) @ np.array([1, 1j])
        air[bad] = air[bad].replace({**air[bad].arrays, "received": noise.astype(np.complex64)})
    demodulator = QamDemodulator(weights=w)
    pictures_back = through(run_block(demodulator, air), SwinDecoder(weights=w))
    assert [frame.tags["concealed"] for frame in pictures_back] == [True, False, False, True, False]
    assert np.array_equal(pictures_back[3]["image"], pictures_back[2]["image"])
    assert pictures_back[0]["image"].astype(float).std() < 10
    (record,) = harness_of(demodulator).records
    assert (record["frames"], record["headers_lost"]) == (5, 2)
    assert record["words"] == 3 * pictures_back[1].tags["words"]


@pytest.mark.parametrize("rule", ["sum-product", "min-sum"])
def test_frames_decoded_together_come_out_as_one_by_one(weights: Path, pictures: np.ndarray, rule: str) -> None:
    w = str(weights)
    air = through(codes(pictures[:6], weights), QamModulator(weights=w, protection="code"), FadingChannel(snr_db=6))
    silence = np.zeros(air[3]["received"].size, np.complex64)
    air[3] = air[3].replace({**air[3].arrays, "received": silence})
    one_by_one, together = (QamDemodulator(weights=w, rule=rule, most_frames=4) for _ in range(2))
    alone = run_block(one_by_one, air)
    run_block(together, [])
    harness = harness_of(together)
    together.start()
    harness.give_batch(air)
    harness.finish()
    assert len(harness.outputs["features"]) == len(alone) == 6
    assert 0 < harness_of(one_by_one).records[-1]["words_failed"] < harness_of(one_by_one).records[-1]["words"]
    assert harness.records[-1] == harness_of(one_by_one).records[-1]
    for a, b in zip(harness.outputs["features"], alone, strict=True):
        assert (a.seq, a.tags) == (b.seq, b.tags)
        assert np.array_equal(a["features"], b["features"])
        assert np.array_equal(a["noise_variance"], b["noise_variance"])


def test_in_a_batch_too_a_frame_without_any_picture_is_skipped(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    (air,) = through(codes(pictures[:1], weights), QamModulator(weights=w), FadingChannel(snr_db=20))
    lost = Frame({**air.arrays, "received": np.zeros(air["received"].size, np.complex64)}, seq=0)
    good = [Frame(dict(air.arrays), seq) for seq in (0, 1)]
    demodulator = QamDemodulator(weights=w)
    run_block(demodulator, [])
    harness_of(demodulator).give_batch([lost, *good])
    assert harness_of(demodulator).skips == ["header"]
    assert [frame.tags["concealed"] for frame in harness_of(demodulator).outputs["features"]] == [False, True]


def test_a_header_of_another_frame_is_a_lost_one(weights: Path, pictures: np.ndarray) -> None:
    air = through(codes(pictures[:2], weights), QamModulator(weights=str(weights)), FadingChannel(snr_db=20))
    air[1] = air[1].replace(air[0].arrays)
    got = run_block(QamDemodulator(weights=str(weights)), air)
    assert [frame.tags["concealed"] for frame in got] == [False, True]


def test_without_any_picture_and_size_a_lost_header_skips_the_frame(weights: Path) -> None:
    silence = np.zeros(500, np.complex64)
    frame = Frame({"received": silence, "csi": np.ones(500, np.complex64), "noise_variance": np.ones(500, np.float32)})
    demodulator = QamDemodulator(weights=str(weights))
    assert run_block(demodulator, [frame]) == []
    assert harness_of(demodulator).skips == ["header"]


def test_the_receiver_needs_nothing_but_symbols(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    air = through(codes(pictures[:2], weights), QamModulator(weights=w, order=64), FadingChannel(snr_db=25))
    bare = [Frame(frame.arrays, frame.seq) for frame in air]
    told, alone = run_block(QamDemodulator(weights=w), air), run_block(QamDemodulator(weights=w), bare)
    for a, b in zip(told, alone, strict=True):
        assert np.array_equal(a["features"], b["features"])
        assert a.tags["size"] == b.tags["size"] == [32, 32]
        assert a.tags["scale"] == b.tags["scale"]


def test_settings_change_between_frames(weights: Path, pictures: np.ndarray) -> None:
    frames = codes(pictures[:2], weights)
    block = QamModulator(weights=str(weights), order=16)
    (first,) = run_block(block, frames[:1])
    harness_of(block).set(order=4, code_rate=0.25)
    harness_of(block).give(frames[1])
    second = harness_of(block).outputs["symbols"][-1]
    assert second["symbols"].size > 3 * (first["symbols"].size - first.tags["header_uses"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"order": 32}, "order"),
        ({"code_rate": 0.1}, "code_rate"),
        ({"code_rate": 1.2}, "code_rate"),
        ({"header_rate": 0.9}, "header_rate"),
    ],
)
def test_an_order_or_rate_that_does_not_exist_is_refused_at_once(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        QamModulator(**settings)


def test_what_no_code_can_do_ends_the_run_in_one_sentence(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    with pytest.raises(BlockError, match=r"'qam_modulator', setting 'code_rate': code rate: expected 0\.2 to 0\.95"):
        run_block(QamModulator(weights=w, code_rate=0.97), [])
    with pytest.raises(BlockError, match="do not fit into"):
        run_block(QamModulator(weights=w, channel_uses=600), codes(pictures[:1], weights, 8))
    features = run_block(SwinEncoder(weights=w), [Frame({"image": pictures[0]})])
    with pytest.raises(BlockError, match="put a quantizer"):
        run_block(QamModulator(weights=w), run_block(Unquantized(weights=w), features))


def test_a_foreign_payload_is_skipped_and_counted(weights: Path, pictures: np.ndarray) -> None:
    frames = codes(pictures[:2], weights)
    frames[1] = frames[1].replace({"payload": frames[1]["payload"][:-3]})
    block = QamModulator(weights=str(weights))
    assert len(run_block(block, frames)) == 1
    assert harness_of(block).skips == ["payload"]


def test_the_same_seed_gives_the_same_records_under_every_engine(weights: Path) -> None:
    w = str(weights)
    found = []
    for engine in ("threads", "processes"):
        graph = Flowgraph("qam", seed=4)
        source, sink = ImageSource(size=32, frames=3), MetricSink(lpips="off", ms_ssim=False)
        demodulator = QamDemodulator(weights=w)
        graph.connect(
            source, SwinEncoder(weights=w), ContributionClassifier(weights=w), NonUniformQuantizer(weights=w, bits=3),
            QamModulator(weights=w, code_rate=1), FadingChannel(channel="rayleigh", snr_db=9), demodulator,
            SwinDecoder(weights=w), sink.reconstruction,
        )  # fmt: skip
        graph.connect(source, sink.reference)
        run = graph.run(engine=engine, timeout=100)
        found.append([(r["seq"], r["psnr_db"], r["channel_uses"]) for r in run.records[sink.name]])
        assert run.records[demodulator.name][0]["frames"] == 3
    assert len(found[0]) == 3
    assert found[0] == found[1]
