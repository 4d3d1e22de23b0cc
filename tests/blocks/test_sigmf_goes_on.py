"""A SigMF recording whose writer dies goes on: its files are those of a quiet run, but for the times in them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radio_fixtures import symbol_frames

from blocks import FadingChannel, SigmfSink, SigmfSource, Throttle
from blocks._radio import header_of, read_header
from semstream.radio import RadioError
from semstream.radio.recording import SigmfWriter
from semstream.runtime import Flowgraph, Frame
from semstream.runtime.durable.store import pack_state, unpack_state
from semstream.testing import Harness, run_block, run_source

SIZE = 200


def received(count: int) -> list[Frame]:
    """One gain a frame, then a channel that changes within a frame, then one gain a frame again."""
    frames = symbol_frames(count, SIZE, snr_db=7.0)
    third = count // 3
    parts = [("awgn", frames[:third]), ("rayleigh", frames[third : 2 * third]), ("awgn", frames[2 * third :])]
    return [frame for channel, some in parts for frame in run_block(FadingChannel(channel=channel), some)]


def files(path: Path) -> dict[str, Any]:
    """What a recording is: bytes of the samples, and the metadata without what they say of the clock."""
    found: dict[str, Any] = {}
    for file in sorted(path.parent.iterdir()):
        kind = file.name.removeprefix(path.name)
        if file.suffix == ".sigmf-meta":
            metadata = json.loads(file.read_text())
            for capture in metadata["captures"]:
                del capture["core:datetime"]
            for annotation in metadata["annotations"]:
                told = read_header(base64.b64decode(annotation["semstream:header"]))
                annotation["semstream:header"] = {**told, "t0_ns": 0}
            metadata["global"]["core:description"] = metadata["global"]["core:description"].replace(path.name, "NAME")
            found[kind] = metadata
        else:
            found[kind] = file.read_bytes()
    return found


def writer(path: Path, state: dict[str, Any] | None = None, run: str = "this run") -> SigmfWriter:
    return SigmfWriter(str(path), 1e6, run=run, state=state)


def add(to: SigmfWriter, frames: list[Frame]) -> None:
    for frame in frames:
        gain, variance = frame["csi"], frame["noise_variance"]
        to.add(frame.seq, frame["received"], gain=gain, noise_variance=variance, header=header_of(frame, SIZE))


def whole(path: Path, frames: list[Frame]) -> dict[str, Any]:
    made = SigmfWriter(str(path), 1e6)
    add(made, frames)
    made.close()
    return files(path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two recordings, each in a folder of its own."""
    for name in ("calm", "killed"):
        (tmp_path / name).mkdir()
    return tmp_path / "calm" / "air", tmp_path / "killed" / "air"


def test_a_recording_is_that_of_a_quiet_run_though_its_writer_was_killed(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    count = 30
    run_block(SigmfSink(path=str(tmp_path / "sent")), received(count))

    def graph(path: Path, fps: float) -> Flowgraph:
        made = Flowgraph("recorded", durable=True, engine="processes")
        made.connect(SigmfSource(path=str(tmp_path / "sent")), Throttle(fps=fps), SigmfSink(path=str(path)))
        return made

    calm, killed = folders
    expected = graph(calm, 1000).run(timeout=60).records["sigmf_sink"]
    run = graph(killed, 60).start()
    data = killed.with_suffix(".sigmf-data")
    for reached in (1, 7, 15, 24):  # before and amid frames whose channel changes, and behind them
        while not data.exists() or data.stat().st_size < reached * SIZE * 8:
            assert not run._conductor.finished.wait(0.002), run.failure
        run._conductor.engine.abandon("sigmf_sink")
    run.wait(60)
    assert sum(run.counters()["blocks"]["sigmf_sink"]["restarts"].values()) == 4
    assert list(run.records["sigmf_sink"]) == [{**expected[0], "path": str(killed)}]
    assert files(killed) == files(calm)
    assert list(files(killed)) == ["-channel.sigmf-data", "-channel.sigmf-meta", ".sigmf-data", ".sigmf-meta"]
    assert [frame.seq for frame in run_source(SigmfSource(path=str(killed)))] == list(range(count))


@pytest.mark.parametrize("kept", [0, 2, 5, 9])
def test_what_came_after_the_snapshot_is_cut_off_and_written_again(folders: tuple[Path, Path], kept: int) -> None:
    calm, killed = folders
    frames = received(12)
    expected = whole(calm, frames)
    first = writer(killed)
    add(first, frames[:kept])
    state = unpack_state(pack_state(first.snapshot()))
    add(first, frames[kept:10])
    first.abandon()
    for file in killed.parent.glob("*.sigmf-[df]*"):
        with file.open("ab") as damaged:
            damaged.write(b"half a frame")
    second = writer(killed, state)
    assert (second.count, second.frames) == (kept * SIZE, kept)
    add(second, frames[kept:])
    second.close()
    assert files(killed) == expected


def test_a_recording_goes_on_though_it_was_closed_already(folders: tuple[Path, Path]) -> None:
    calm, killed = folders
    frames = received(6)
    expected = whole(calm, frames)
    first = writer(killed)
    add(first, frames)
    state = first.snapshot()
    first.close()
    second = writer(killed, state)
    assert second.frames == 6
    second.close()
    assert files(killed) == expected


def test_a_snapshot_stays_as_small_as_it_is(tmp_path: Path) -> None:
    made = writer(tmp_path / "air")
    frames = received(30)
    add(made, frames[:12])
    small = len(pack_state(made.snapshot()))
    add(made, frames[12:])
    assert len(pack_state(made.snapshot())) <= small + 8
    made.close()


def test_a_later_life_without_a_snapshot_begins_anew_and_leaves_what_others_have_recorded(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    frames = received(6)
    for path, run in ((mine, "this run"), (theirs, "another run")):
        first = writer(path, run=run)
        add(first, frames)
        first.abandon()
    sink = SigmfSink(path=str(mine))
    sink.run, sink.restarts = "this run", 1
    run_block(sink, frames[:2])
    assert [frame.seq for frame in run_source(SigmfSource(path=str(mine)))] == [0, 1]
    assert not list(tmp_path.glob("mine-channel*"))
    before = {path: path.read_bytes() for path in tmp_path.glob("theirs*")}
    with pytest.raises(RadioError, match="the file exists; name another"):
        writer(theirs)
    assert {path: path.read_bytes() for path in tmp_path.glob("theirs*")} == before


def test_a_sink_that_fails_and_is_started_again_leaves_its_recording_unfinished(tmp_path: Path) -> None:
    sink = SigmfSink(path=str(tmp_path / "air"))
    sink.run = "this run"
    harness = Harness(sink)
    for frame in received(3):
        harness.give(frame)
    state = sink.snapshot()
    sink.resumes = True
    sink.stop()
    assert "unfinished" in (tmp_path / "air.sigmf-meta").read_text()
    assert harness.records == []
    again = SigmfSink(path=str(tmp_path / "air"))
    again.run, again.restarts = "this run", 1
    harness = Harness(again)
    again.restore(state)
    again.stop()
    assert harness.records == [{"path": str(tmp_path / "air"), "frames": 3, "samples": 3 * SIZE}]


@pytest.mark.parametrize(
    ("suffix", "content", "words"),
    [
        (".sigmf-data", b"", r"expected at least 4800 bytes, got 0"),
        (".sigmf-frames", b'{"run":"another run"}\n', "cut short, or of another run"),
        (".sigmf-frames", b"?" * 10_000, "cannot be read"),
        (".sigmf-data", None, "cannot be gone on with"),
        ("-channel.sigmf-data", b"", r"expected at least 9600 bytes, got 0"),
    ],
)
def test_what_is_missing_of_a_recording_is_named(
    tmp_path: Path, suffix: str, content: bytes | None, words: str
) -> None:
    first = writer(tmp_path / "air")
    add(first, received(6)[:3])
    state = first.snapshot()
    first.abandon()
    path = tmp_path / f"air{suffix}"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(RadioError, match=words):
        writer(tmp_path / "air", state)


def test_a_channel_of_a_recording_that_is_written_over_goes_with_it(tmp_path: Path) -> None:
    path = str(tmp_path / "air")
    run_block(SigmfSink(path=path), run_block(FadingChannel(channel="rayleigh"), symbol_frames(3)))
    run_block(SigmfSink(path=path, overwrite=True), run_block(FadingChannel(channel="awgn"), symbol_frames(2)))
    assert len(run_source(SigmfSource(path=path))) == 2
    for file in tmp_path.glob("air.*"):
        file.unlink()
    (tmp_path / "air-channel.sigmf-data").write_bytes(np.zeros(8, np.complex64).tobytes())
    with pytest.raises(RadioError, match=r"air-channel.sigmf-data: the file exists"):
        SigmfWriter(path, 1e6)
