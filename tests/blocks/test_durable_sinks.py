"""Sinks and channels whose processes are killed: files and records are those of a quiet run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blocks import FadingChannel, ImageSink, ImageSource, MetricSink, QamDemodulator, Recorder, SnrEstimator, Throttle
from blocks.bandwidth import KeepLast
from semstream.runtime import BlockError, Flowgraph, Frame
from semstream.runtime.durable.store import pack_state, unpack_state
from semstream.runtime.frames.recording import RecordingReader, RecordingWriter
from semstream.testing import run_block
from tools.bench_parts.crashes import timeless

FRAMES = 40


def graph(folder: Path, fps: float) -> Flowgraph:
    made = Flowgraph("sinks", durable=True, engine="processes")
    source, slow, sink = ImageSource(size=32, frames=FRAMES), Throttle(fps=fps), MetricSink(ms_ssim=False, lpips="off")
    made.connect(source, slow, sink.reconstruction)
    made.connect(source, sink.reference)
    made.connect(slow, Recorder(path=str(folder / "pictures.rec")))
    made.connect(slow, ImageSink(path=str(folder / "files"), name="files"))
    made.connect(slow, ImageSink(path=str(folder / "video.mp4"), name="video"))
    return made


def decoded(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_what_sinks_leave_on_disk_is_whole_though_they_were_killed(tmp_path: Path) -> None:
    calm = graph(tmp_path / "calm", 1000).run(timeout=60)
    run = graph(tmp_path / "killed", 40).start()
    for reached, victim in ((4, "recorder"), (9, "video"), (15, "files"), (21, "metric_sink"), (27, "recorder")):
        while len(run.records["metric_sink"]) < reached:
            assert not run.finished, run.failure
        run._conductor.engine.abandon(victim)
    run.wait(60)
    assert timeless(run.records["metric_sink"]) == timeless(calm.records["metric_sink"])
    (told,) = run.records["recorder"]
    assert told["frames"] == FRAMES
    assert sum(run.counters()["blocks"]["recorder"]["restarts"].values()) == 2
    kept = []
    for folder in (tmp_path / "calm", tmp_path / "killed"):
        with RecordingReader(folder / "pictures.rec") as reader:
            assert reader.lost_bytes == 0
            kept.append([(recorded.frame.seq, recorded.frame["image"].tobytes()) for recorded in reader])
        assert len(list((folder / "files").iterdir())) == FRAMES
        assert not (folder / "video.mp4.frames").exists()
    assert kept[0] == kept[1]
    videos = [decoded(tmp_path / folder / "video.mp4") for folder in ("calm", "killed")]
    assert len(videos[0]) == FRAMES
    assert np.array_equal(videos[0], videos[1])
    for seq, image in kept[0]:
        written = np.asarray(Image.open(tmp_path / "killed" / "files" / f"{seq:08d}.png"))
        assert written.tobytes() == image


def test_a_recording_of_somebody_else_is_not_written_over_by_a_later_life(tmp_path: Path) -> None:
    path = tmp_path / "theirs.rec"
    writer = RecordingWriter(path)
    writer.add(Frame({"x": np.zeros(3)}))
    writer.close()
    before = path.read_bytes()
    recorder = Recorder(path=str(path))
    recorder.run, recorder.restarts = "this run", 1
    recorder.start()
    assert not recorder._is_own(path)
    assert path.read_bytes() == before


def test_a_recording_that_an_earlier_program_of_the_run_has_begun_is_known_as_its_own(tmp_path: Path) -> None:
    path = tmp_path / "begun.rec"
    for begun in (b"", None):
        if begun is not None:
            path.write_bytes(begun)
        recorder = Recorder(path=str(path))
        recorder.run = "this run"
        recorder.start()  # None: what the first one has left
    other = Recorder(path=str(path))
    other.run = "another run"
    with pytest.raises(BlockError, match="the file exists"):
        other.start()


def test_a_recording_goes_on_from_a_snapshot_without_what_came_after_it(tmp_path: Path) -> None:
    path = tmp_path / "cut.rec"
    writer = RecordingWriter(path)
    for i in range(3):
        writer.add(Frame({"x": np.full(3, i)}, seq=i))
    size = writer.size
    writer.add(Frame({"x": np.full(3, 3)}, seq=3))
    with path.open("ab") as file:
        file.write(b"half a frame")
    resumed = RecordingWriter.resume(path, size)
    assert resumed.count == 3
    resumed.add(Frame({"x": np.full(3, 9)}, seq=9))
    resumed.close()
    with RecordingReader(path) as reader:
        assert [recorded.frame.seq for recorded in reader] == [0, 1, 2, 9]
        assert reader.lost_bytes == 0


def pictures(count: int, **tags: object) -> list[Frame]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return [Frame({"image": image}, seq=i, tags=dict(tags)) for i, image in enumerate(images)]


def test_blocks_with_a_memory_go_on_where_their_snapshot_was_made() -> None:
    late = [frame.replace(tags={"channel_uses": 9, "bandwidth_uses": 9 - i % 2}) for i, frame in enumerate(pictures(6))]
    noisy = pictures(6, snr_db=7.0)
    for make, frames in ((KeepLast, late), (SnrEstimator, noisy)):
        whole = run_block(make(name="b"), [frame.replace() for frame in frames])
        first, second = make(name="b"), make(name="b")
        run_block(first, [frame.replace() for frame in frames[:3]])
        state = unpack_state(pack_state(first.snapshot()))
        start = second.start

        def resumed(start=start, second=second, state=state) -> None:  # type: ignore[no-untyped-def]
            start()
            second.restore(state)

        second.start = resumed  # type: ignore[method-assign]
        rest = run_block(second, [frame.replace() for frame in frames[3:]])
        for expected, got in zip(whole[3:], rest, strict=True):
            assert np.array_equal(expected["image"], got["image"])
            assert expected.tags == got.tags


def test_what_blocks_count_is_part_of_their_state() -> None:
    assert FadingChannel.state == ("_counts",)
    assert MetricSink.state == ("_seen",)
    assert QamDemodulator.snapshot is not FadingChannel.snapshot
