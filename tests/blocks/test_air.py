"""From symbols to samples and back by blocks; streams in files and on sockets; what may be wrong with them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sigmf
import zmq
from radio import needs_radio
from radio_fixtures import free_endpoint, gaussian, symbol_frames

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    FrameModulator,
    FrameSynchronizer,
    NonUniformQuantizer,
    PowerNormalizer,
    QamDemodulator,
    QamModulator,
    SampleChannel,
    SampleSink,
    SampleSource,
    SentPictures,
    SideInformationDemodulator,
    SideInformationModulator,
    SigmfSource,
    SwinDecoder,
    SwinEncoder,
    Unquantized,
)
from semstream.metrics.quality import psnr
from semstream.phy.air_frame import HEADER_BITS, AirFormat, AirHeader, header_symbols
from semstream.phy.waveform import known_symbols
from semstream.radio import recording
from semstream.runtime import Block, BlockError, Frame
from semstream.testing import Harness, harness_of, run_block, run_source

pytestmark = needs_radio


def through(frames: list[Frame], *blocks: Block) -> list[Frame]:
    for block in blocks:
        frames = run_block(block, frames)
    return frames


def bare(frames: list[Frame]) -> list[Frame]:
    """The samples alone, in one stream, as they come out of a file."""
    whole = np.concatenate([frame["samples"] for frame in frames] + [np.zeros(4096, np.complex64)])
    return [Frame({"samples": part}, seq=i) for i, part in enumerate(np.array_split(whole, 7))]


def transmitter(pictures: np.ndarray, weights: Path, modulation: str = "qam", **classes: Any) -> list[Frame]:
    w = str(weights)
    if classes.pop("unquantized", False):
        quantizer: list[Block] = [Unquantized(weights=w)]
    else:
        scheme = {"scheme": "fixed"} if classes else {}
        quantizer = [ContributionClassifier(weights=w, **classes), NonUniformQuantizer(weights=w, bits=4, **scheme)]
    last: list[Block] = [QamModulator(weights=w)]
    if modulation == "pam":
        last = [PowerNormalizer(weights=w), SideInformationModulator(weights=w)]
    sent = [Frame({"image": picture}) for picture in pictures]
    return through(sent, SwinEncoder(weights=w), *quantizer, *last, FrameModulator(modulation=modulation))


def receiver(weights: Path, modulation: str = "qam") -> list[Block]:
    w = str(weights)
    if modulation == "qam":
        return [FrameSynchronizer(), QamDemodulator(weights=w), SwinDecoder(weights=w)]
    last = [SideInformationDemodulator(weights=w), Dequantizer(weights=w), SwinDecoder(weights=w)]
    return [FrameSynchronizer(), *last]


def quality(pictures: np.ndarray, frames: list[Frame]) -> float:
    return float(np.mean([psnr(a, frame["image"]) for a, frame in zip(pictures, frames, strict=True)]))


def test_pictures_come_through_samples_alone_as_good_as_through_the_link(weights: Path, pictures: np.ndarray) -> None:
    w, few = str(weights), pictures[:8]
    air = SampleChannel(snr_db=12, frequency_offset=0.01, gain=0.1, start=3000, idle=2000)
    sent = transmitter(few, weights)
    got = through(bare(through(sent, air)), *receiver(weights))
    assert [frame.tags["number"] for frame in got] == list(range(8))
    assert {frame.tags["concealed"] for frame in got} == {False}
    codes = [Frame({"image": picture}) for picture in few]
    link = (
        SwinEncoder(weights=w), ContributionClassifier(weights=w), NonUniformQuantizer(weights=w, bits=4),
        QamModulator(weights=w), FadingChannel(snr_db=12), QamDemodulator(weights=w), SwinDecoder(weights=w),
    )  # fmt: skip
    assert quality(few, got) == pytest.approx(quality(few, through(codes, *link)), abs=0.1)
    for frame, one in zip(got, sent, strict=True):
        tags = frame.tags
        assert tags["channel_uses"] == one.tags["channel_uses"] == one["samples"].size // 2
        assert tags["frequency_offset"] == pytest.approx(0.01, abs=1e-3)
        assert tags["measured_snr_db"] == pytest.approx(12, abs=1.5)
        assert (tags["modulation"], tags["size"]) == ("qam", [32, 32])


@pytest.mark.parametrize("kind", [{}, {"granularity": "element", "classes": 3}, {"unquantized": True}])
def test_amplitudes_need_nothing_but_symbols(weights: Path, pictures: np.ndarray, kind: dict[str, Any]) -> None:
    sent = transmitter(pictures[:3], weights, "pam", **kind)
    got = through(bare(through(sent, SampleChannel(snr_db=30, start=500))), *receiver(weights, "pam"))
    assert quality(pictures[:3], got) > 20
    assert all(frame.tags["side_bits"] == one.tags["side_bits"] for frame, one in zip(got, sent, strict=True))
    assert all(frame.tags["payload_bits"] == one.tags["payload_bits"] for frame, one in zip(got, sent, strict=True))


@pytest.mark.parametrize("modulation", ["qam", "pam"])
def test_lost_frames_show_the_last_good_picture_and_are_counted(
    weights: Path, pictures: np.ndarray, modulation: str
) -> None:
    sent = transmitter(pictures[:6], weights, modulation)
    blocks = receiver(weights, modulation)
    got = through(bare([sent[n] for n in (1, 2, 5)]), *blocks)
    assert [frame.seq for frame in got] == [0, 1, 2, 3, 4]
    assert [frame.tags["number"] for frame in got] == [1, 2, 3, 4, 5]
    assert [frame.tags["concealed"] for frame in got] == [False, False, True, True, False]
    assert np.array_equal(got[2]["image"], got[1]["image"])
    assert np.array_equal(got[3]["image"], got[1]["image"])
    (record,) = harness_of(blocks[0]).records
    assert (record["frames"], record["frames_lost"], record["restarts"]) == (3, 2, 0)
    (record,) = harness_of(blocks[1]).records
    assert (record["frames"], record["headers_lost"]) == (5, 2)


def test_a_header_of_amplitudes_that_is_lost_before_any_was_read_skips_the_frame(weights: Path) -> None:
    noise = Frame(
        {"received": gaussian(900, np.random.default_rng(0)), "csi": np.ones(900, np.complex64),
         "noise_variance": np.ones(900, np.float32)}
    )  # fmt: skip
    block = SideInformationDemodulator(weights=str(weights))
    assert run_block(block, [noise]) == []
    assert harness_of(block).skips == ["header"]


def test_a_sender_that_is_started_again_is_followed_and_nothing_is_made_up(weights: Path, pictures: np.ndarray) -> None:
    sent = transmitter(pictures[:4], weights)
    synchronizer = FrameSynchronizer()
    got = run_block(synchronizer, bare([sent[2], sent[3], sent[0], sent[1]]))
    assert [frame.tags["number"] for frame in got] == [2, 3, 0, 1]
    assert harness_of(synchronizer).records[0]["restarts"] == 1


def foreign(bits: dict[int, int]) -> list[Frame]:
    content = np.zeros(HEADER_BITS, np.uint8)
    for place, bit in bits.items():
        content[place] = bit
    form = AirFormat()
    whole = np.concatenate([known_symbols(128), header_symbols(content), -1j * known_symbols(700)[200:]])
    return bare([Frame({"samples": form.pulse.shaped(whole)})])


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (foreign({0: 1}), r"\(preambles: 1, version: 1\).*version 8; this receiver reads version 1"),
        (foreign({3: 1, 5: 1}), r"\(modulation: 1, preambles: 1\).*modulation number 4"),
        ([Frame({"samples": np.zeros(30_000, np.complex64)})], r"no frame in all 30000 samples \(no preamble\); does"),
        ([Frame({"samples": np.full(30_000, np.nan, np.complex64)})], r"\(not_finite: 30000\); does the sender send"),
    ],
)
def test_a_stream_without_a_frame_that_can_be_read_ends_with_one_message_or_is_counted(
    frames: list[Frame], words: str
) -> None:
    with pytest.raises(BlockError, match=words):
        run_block(FrameSynchronizer(), frames)
    block = FrameSynchronizer(when_silent="go_on")
    assert run_block(block, frames) == []
    assert harness_of(block).records[0]["frames"] == 0


def test_a_preamble_that_never_comes_ends_the_run_within_patience(weights: Path, pictures: np.ndarray) -> None:
    noise = [Frame({"samples": 0.1 * gaussian(5000, np.random.default_rng(n))}, seq=n) for n in range(4)]
    with pytest.raises(BlockError, match=r"frame_synchronizer.*no frame in \d+ symbols"):
        run_block(FrameSynchronizer(patience=4000), noise)
    going = FrameSynchronizer(patience=4000, when_silent="go_on")
    got = run_block(going, noise + bare(transmitter(pictures[:1], weights)))
    assert len(got) == 1


def test_clipped_samples_are_counted_and_decode(weights: Path, pictures: np.ndarray) -> None:
    frames = bare(through(transmitter(pictures[:2], weights), SampleChannel(snr_db=25)))
    for frame in frames:
        pairs = frame["samples"].view(np.float32).clip(-0.9, 0.9)
        frame.arrays["samples"] = pairs.view(np.complex64)
    blocks = receiver(weights)
    assert len(through(frames, *blocks)) == 2
    assert harness_of(blocks[0]).records[0]["clipped"] > 100


def test_what_cannot_be_sent_is_skipped_and_what_cannot_be_is_refused() -> None:
    frames = symbol_frames(3, 300)
    frames[1].arrays["symbols"] = np.full(5, np.nan, np.complex64)
    frames[2].arrays["symbols"] = np.zeros(0, np.complex64)
    block = FrameModulator()
    assert len(run_block(block, frames)) == 1
    assert harness_of(block).skips == ["not_finite", "no_symbols"]
    with pytest.raises(BlockError, match="gap: expected at least 40"):
        FrameModulator(span=20).start()
    with pytest.raises(BlockError, match="odd number"):
        FrameSynchronizer(pilot_smoothing=4).start()


def test_side_information_that_is_not_the_frames_is_skipped(weights: Path, pictures: np.ndarray) -> None:
    w = str(weights)
    frames = through(
        [Frame({"image": pictures[0]})], SwinEncoder(weights=w), ContributionClassifier(weights=w),
        NonUniformQuantizer(weights=w, bits=4), PowerNormalizer(weights=w),
    )  # fmt: skip
    wrong = [frames[0].replace({"symbols": frames[0]["symbols"][:-3]}), Frame(frames[0].arrays, 1)]
    wrong.append(Frame(frames[0].arrays, 2, tags=frames[0].tags | {"power_gain": -1.0}))
    block = SideInformationModulator(weights=w)
    assert run_block(block, wrong) == []
    assert harness_of(block).skips == ["side_information"] * 3


# -- files and sockets ------------------------------------------------------------------------------------------------


def pieces(count: int = 5) -> list[Frame]:
    return [Frame({"samples": frame["symbols"]}, seq=frame.seq) for frame in symbol_frames(count, 333)]


def joined(frames: list[Frame]) -> np.ndarray:
    return np.concatenate([frame["samples"] for frame in frames])


@pytest.mark.parametrize("name", ["air.cf32", "air.sigmf-meta"])
def test_a_file_gives_back_its_samples(tmp_path: Path, name: str) -> None:
    path, sent = str(tmp_path / "below" / name), pieces()
    run_block(SampleSink(to=path), sent)
    got = run_source(SampleSource(source=path, chunk=1000, flush=10))
    assert [frame["samples"].size for frame in got] == [1000, 665, 10]
    assert np.array_equal(joined(got)[:-10], joined(sent))
    data = path.replace("-meta", "-data")
    assert np.array_equal(np.fromfile(data, np.complex64), joined(sent))  # as GNU Radio's file source reads it
    with pytest.raises(BlockError, match="exists; name another"):
        run_block(SampleSink(to=path), sent)
    run_block(SampleSink(to=path, overwrite=True), sent[:1])
    assert joined(run_source(SampleSource(source=path, flush=0))).size == 333


def test_a_file_that_is_missing_or_cut_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BlockError, match="there is no such file of samples"):
        run_source(SampleSource(source=str(tmp_path / "none")))
    path = tmp_path / "air.cf32"
    path.write_bytes(bytes(805))
    assert joined(run_source(SampleSource(source=str(path), flush=0))).size == 100
    assert "5 bytes at its end are no sample" in caplog.text
    (tmp_path / "file").write_text("x")
    with pytest.raises(BlockError, match="cannot be made"):
        SampleSink(to=str(tmp_path / "file" / "air")).start()


def test_a_recording_that_is_cut_off_can_be_read_up_to_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "REWRITTEN_EVERY_S", 0.0)
    monkeypatch.setattr(recording, "REWRITING_SHARE", 1e9)
    path = tmp_path / "air.sigmf-meta"
    harness, sent = Harness(SampleSink(to=str(path))), pieces()
    for frame in sent:
        harness.give(frame)  # and nothing is ever closed
    described = sigmf.SigMFFile(metadata=path.read_text())
    described.validate()
    assert described.get_global_info()["semstream:unfinished"]
    assert "core:sha512" not in described.get_global_info()
    with (tmp_path / "air.sigmf-data").open("ab") as data:
        data.write(bytes(3))
    assert np.array_equal(joined(run_source(SampleSource(source=str(path), flush=0))), joined(sent))


def received(source: SampleSource, give: Callable[[], Any]) -> list[Frame]:
    sender = threading.Thread(target=give)
    sender.start()
    try:
        return run_source(source)
    finally:
        sender.join(60)


def test_a_socket_gives_the_samples_in_whatever_messages_they_come() -> None:
    endpoint, sent = free_endpoint(), pieces(40)
    source = SampleSource(source=endpoint, silence=0.5, flush=0)
    got = received(source, lambda: run_block(SampleSink(to=endpoint), sent))
    assert np.array_equal(joined(got), joined(sent))


def test_a_socket_that_nobody_serves_or_that_gives_odd_bytes_ends_with_one_message() -> None:
    with pytest.raises(BlockError, match=r"no sample has come from tcp://.* within 0\.2 s; does the transmitter run"):
        run_source(SampleSource(source=free_endpoint(), patience=0.2))
    with pytest.raises(BlockError, match=r"nobody has taken samples at tcp://.*for 0\.2 s"):
        run_block(SampleSink(to=free_endpoint(), timeout=0.2), pieces(1))
    with pytest.raises(BlockError, match="other hosts would reach it"):
        SampleSink(to="tcp://0.0.0.0:*").start()
    endpoint = free_endpoint()

    def give() -> None:
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.bind(endpoint)
            push.send(bytes(12))
            push.close(5000)

    with pytest.raises(BlockError, match=r"sample_source.*12 bytes.*no multiple of 8"):
        received(SampleSource(source=endpoint), give)


def test_a_recording_of_a_stream_names_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "air.sigmf-meta"
    run_block(SampleSink(to=str(path), modulation="pam"), pieces(3))
    notes = json.loads(path.read_text())["annotations"]
    assert [(note["core:sample_start"], note["semstream:modulation"]) for note in notes] == [
        (0, "pam"), (333, "pam"), (666, "pam")
    ]  # fmt: skip
    with pytest.raises(BlockError, match="no frame that can be read"):  # nothing is known of gain and noise
        run_source(SigmfSource(path=str(path)))


def test_pictures_are_compared_with_those_that_were_kept(tmp_path: Path, pictures: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(pictures[0]).save(tmp_path / "00000007.png")
    shown = [Frame({"image": pictures[1]}, tags={"number": 7}), Frame({"image": pictures[1]}, 1, tags={"number": 8})]
    block = SentPictures(path=str(tmp_path))
    (got,) = run_block(block, shown)
    assert np.array_equal(got["image"], pictures[0])
    assert harness_of(block).skips == ["not kept"]
    with pytest.raises(BlockError, match="there is no folder"):
        SentPictures(path=str(tmp_path / "none")).start()


def test_a_frame_that_is_too_long_says_so() -> None:
    with pytest.raises(BlockError, match="expected 1 to 1048575 symbols"):
        run_block(FrameModulator(), [Frame({"symbols": np.ones(2**20, np.complex64)})])
    assert AirHeader("qam", 0, 2**20 - 1, 16).to_symbols().size == 128
