"""Recording and replay: every frame comes back, a cut file up to its last whole frame, a replay gives the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from codec_fixtures import smooth_pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    ImageSource,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    Recorder,
    Replay,
    SwinDecoder,
    SwinEncoder,
)
from blocks.ports import Symbols
from blocks.recorder import record
from semstream.runtime import Block, BlockError, Flowgraph, FlowgraphError, Frame, PortError
from semstream.runtime.frames.recording import RecordingError, RecordingReader, RecordingWriter
from semstream.testing import run_block, run_source


def frames(count: int) -> list[Frame]:
    random = np.random.default_rng(0)
    return [
        Frame(
            {"x": random.standard_normal((i, 3)).astype(np.float32), "empty": np.zeros(0, np.uint8)},
            seq=i,
            t0_ns=10**18 + i,
            tags={"snr_db": float("inf"), "bits": [1, 2], "name": "ä"},
        )
        for i in range(count)
    ]


def write(path: Path, count: int) -> list[Frame]:
    given_frames = frames(count)
    writer = RecordingWriter(path, facts={"seed": 5})
    for frame in given_frames:
        writer.add(frame)
    writer.close()
    return given_frames


def test_every_frame_comes_back_as_it_was(tmp_path: Path) -> None:
    expected = write(tmp_path / "a.rec", 6)
    with RecordingReader(tmp_path / "a.rec") as reader:
        got = list(reader)
        assert reader.facts["seed"] == 5
        assert reader.lost_bytes == 0
    assert [item.at_ns for item in got] == sorted(item.at_ns for item in got)
    for item, frame in zip(got, expected, strict=True):
        assert item.frame.equals(frame)
        assert (item.frame.seq, item.frame.t0_ns) == (frame.seq, frame.t0_ns)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "whole.rec"
    write(path, 6)
    return path


@given(share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_recording_cut_anywhere_gives_its_whole_frames(whole: Path, share: float) -> None:
    data = whole.read_bytes()
    cut = whole.with_name("cut.rec")
    cut.write_bytes(data[: int(share * len(data))])
    with RecordingReader(whole) as reader:
        ends = [*reader.offsets[1:], len(data)]
        begin = reader.offsets[0]
        original = [item.frame for item in reader]
    if int(share * len(data)) < begin:
        with pytest.raises(RecordingError):
            RecordingReader(cut)
        return
    with RecordingReader(cut) as reader:
        got = [item.frame for item in reader]
    assert len(got) >= sum(end <= share * len(data) for end in ends[:-1])
    assert all(a.equals(b) for a, b in zip(got, original, strict=False))


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_damaged_recording_never_gives_a_wrong_frame(whole: Path, place: int, bit: int) -> None:
    data = bytearray(whole.read_bytes())
    data[place % len(data)] ^= 1 << bit
    damaged = whole.with_name("damaged.rec")
    damaged.write_bytes(data)
    with RecordingReader(whole) as reader:
        original = {item.frame.seq: item.frame for item in reader}
    try:
        with RecordingReader(damaged) as reader:
            for number in range(len(reader)):
                frame = reader.read(number).frame
                assert frame.equals(original[frame.seq])
    except RecordingError:
        return  # refused, in words


def test_what_is_no_recording_or_exists_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no recording")
    for path, words in ((tmp_path / "text", "no recording"), (tmp_path / "none", "cannot be opened")):
        with pytest.raises(BlockError, match=words):
            Replay(path=str(path))
    with pytest.raises(RecordingError, match="exists"):
        RecordingWriter(tmp_path / "text")
    with pytest.raises(RecordingError, match="cannot be made"):
        RecordingWriter(tmp_path / "text" / "below")


def test_a_full_disk_ends_the_run_and_keeps_what_was_whole() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingWriter(full, overwrite=True)


def test_a_replay_keeps_numbers_and_counts_what_is_missing(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "gap.rec")
    for frame in frames(6):
        if frame.seq not in (0, 3):
            writer.add(frame)
    writer.close()
    got = run_source(Replay(path=str(tmp_path / "gap.rec")))
    assert [frame.seq for frame in got] == [1, 2, 4, 5]
    assert got[0].tags["name"] == "ä"


def test_a_recorder_writes_what_passes_and_says_how_much(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.rec"
    assert run_block(Recorder(path=str(path)), frames(4)) == []
    with RecordingReader(path) as reader:
        assert len(reader) == 4


def codec_chain(weights: str) -> list[Block]:
    return [
        SwinEncoder(weights=weights),
        ContributionClassifier(weights=weights),
        NonUniformQuantizer(weights=weights, bits=3),
        PowerNormalizer(weights=weights),
    ]


def receiver(weights: str) -> list[Block]:
    return [FadingChannel(channel="rayleigh", snr_db=7), Dequantizer(weights=weights), SwinDecoder(weights=weights)]


def test_a_run_replayed_from_its_symbols_gives_identical_pictures(tmp_path: Path, weights: Path) -> None:
    for i, picture in enumerate(smooth_pictures(4)):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    names = str(weights)

    def link(symbols: list[Block]) -> Flowgraph:
        graph = Flowgraph("link", seed=9)
        source, sink = ImageSource(source=str(tmp_path)), MetricSink(lpips="off", ms_ssim=False)
        graph.connect(*([source] if len(symbols) > 1 else []), *symbols, *receiver(names), sink.reconstruction)
        graph.connect(source, sink.reference)
        return graph

    first = link(codec_chain(names))
    recorder = record(first, "power_normalizer.symbols -> fading_channel.symbols", str(tmp_path / "symbols.rec"))
    run = first.run(timeout=100)
    assert run.records[recorder.name][0]["frames"] == 4
    again = link([Replay(path=str(tmp_path / "symbols.rec"))]).run(timeout=100)
    quality = [[r["psnr_db"] for r in done.records["metric_sink"]] for done in (run, again)]
    assert quality[0] == quality[1]
    assert len(quality[0]) == 4


def test_a_replay_is_checked_as_what_was_recorded(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "s.rec", Symbols)
    writer.add(Frame({"symbols": np.ones(3, np.complex64)}))
    writer.close()
    graph = Flowgraph("wrong")
    with pytest.raises(PortError, match="Symbols"):
        graph.connect(Replay(path=str(tmp_path / "s.rec")), MetricSink().reference)
    graph.add(ImageSource())
    with pytest.raises(FlowgraphError, match=r"image_source\.image"):
        record(graph, "nobody.out", str(tmp_path / "n.rec"))


def test_a_process_killed_while_it_records_leaves_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "killed.rec"
    code = (
        "import os, numpy as np\n"
        "from pathlib import Path\n"
        "from semstream.runtime import Frame\n"
        "from semstream.runtime.frames.recording import RecordingWriter\n"
        f"writer = RecordingWriter(Path({str(path)!r}))\n"
        "for i in range(5):\n"
        "    writer.add(Frame({'x': np.arange(i + 1, dtype=np.float32)}, seq=i))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -9
    with RecordingReader(path) as reader:
        assert [item.frame["x"].size for item in reader] == [1, 2, 3, 4, 5]
