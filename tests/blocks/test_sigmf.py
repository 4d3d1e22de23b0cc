"""SigMF: a recording of the link gives its pictures, other tools read it, and what disagrees is told in one message."""

from __future__ import annotations

import builtins
import json
import math
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sigmf
from codec_fixtures import smooth_pictures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from radio_fixtures import gaussian, symbol_frames

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    NonUniformQuantizer,
    PowerNormalizer,
    SigmfSink,
    SigmfSource,
    SwinDecoder,
    SwinEncoder,
)
from semstream.radio import recording
from semstream.radio.process import SYSTEM_PYTHON
from semstream.runtime import BlockError, Frame
from semstream.testing import Harness, harness_of, run_block, run_source


def sent_pictures(weights: Path) -> list[Frame]:
    w = str(weights)
    frames = [Frame({"image": picture}, tags={"snr_db": 7.0}) for picture in smooth_pictures(4)]
    for block in (
        SwinEncoder(weights=w),
        ContributionClassifier(weights=w, granularity="element"),
        NonUniformQuantizer(weights=w, bits=4),
        PowerNormalizer(weights=w),
    ):
        frames = run_block(block, frames)
    return frames


def received_frames(count: int = 3, size: int = 100) -> list[Frame]:
    return run_block(FadingChannel(channel="awgn"), symbol_frames(count, size, snr_db=7.0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording of three frames of 100 samples."""
    run_block(SigmfSink(path=str(tmp_path / "a.b"), sample_rate=2e6), received_frames())
    return tmp_path / "a.b.sigmf-meta"


def change(path: Path, edit: Any) -> None:
    metadata = json.loads(path.read_text())
    edit(metadata)
    path.write_text(json.dumps(metadata))


def data_of(path: Path) -> Path:
    return path.with_suffix(".sigmf-data")


@pytest.mark.parametrize(
    "channel",
    [
        {"channel": "awgn"},
        {"channel": "awgn", "snr_db": math.inf, "follow_snr": False},
        {"channel": "rayleigh"},
        {"channel": "rician", "coherence": "frame"},
        {"channel": "composite"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_recording_of_the_link_gives_its_pictures(tmp_path: Path, weights: Path, channel: dict[str, Any]) -> None:
    w, over = str(weights), run_block(FadingChannel(**channel), sent_pictures(weights))
    sink = SigmfSink(path=str(tmp_path / "air"))
    run_block(sink, over)
    assert harness_of(sink).records == [
        {"path": str(tmp_path / "air"), "frames": 4, "samples": sum(frame["received"].size for frame in over)}
    ]
    played = run_source(SigmfSource(path=str(tmp_path / "air")))
    for a, b in zip(over, played, strict=True):
        assert a.arrays.keys() == b.arrays.keys()
        for name in a.arrays:
            assert a[name].dtype == b[name].dtype
            assert np.array_equal(a[name], b[name]), name
        assert (a.seq, a.tags) == (b.seq, b.tags)
    pictures = [run_block(SwinDecoder(weights=w), run_block(Dequantizer(weights=w), side)) for side in (over, played)]
    assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(*pictures, strict=True))


def test_sent_symbols_are_played_as_an_error_free_reception(tmp_path: Path) -> None:
    sent = symbol_frames(3)
    run_block(SigmfSink(path=str(tmp_path / "sent")), sent)
    for a, b in zip(sent, run_source(SigmfSource(path=str(tmp_path / "sent"))), strict=True):
        assert np.array_equal(a["symbols"], b["received"])
        assert (b["csi"] == 1).all()
        assert not b["noise_variance"].any()


def test_the_package_sigmf_reads_what_is_recorded(path: Path) -> None:
    recording = sigmf.sigmffile.fromfile(str(path))  # compares the checksum
    recording.validate()
    expected = np.concatenate([frame["received"] for frame in received_frames()])
    assert np.array_equal(recording.read_samples(), expected)
    assert recording.get_global_info()["core:sample_rate"] == 2e6
    (capture,) = recording.get_captures()
    assert capture["core:datetime"].endswith("Z")
    for number, annotation in enumerate(recording.get_annotations()):
        assert (annotation["core:sample_start"], annotation["core:sample_count"]) == (100 * number, 100)
        assert annotation["core:label"] == f"frame {number}"
        assert annotation["semstream:frame"] == number
        assert annotation["semstream:snr_db"] == 7.0
        assert annotation["semstream:modulation"] == "pam"


@pytest.mark.gnuradio
def test_gnu_radios_file_source_reads_what_is_recorded(gnuradio: None, path: Path) -> None:
    program = (
        "import sys\n"
        "from gnuradio import blocks, gr\n"
        "top, sink = gr.top_block(), blocks.vector_sink_c()\n"
        "top.connect(blocks.file_source(gr.sizeof_gr_complex, sys.argv[1], False), sink)\n"
        "top.run()\n"
        "print(len(sink.data()), sum(sink.data()))\n"
    )
    told = subprocess.run(
        [SYSTEM_PYTHON, "-c", program, str(data_of(path))], capture_output=True, text=True, timeout=60, check=True
    )
    count, total = told.stdout.split()[-2:]
    expected = np.concatenate([frame["received"] for frame in received_frames()])
    assert int(count) == 300
    assert complex(total) == pytest.approx(complex(expected.sum()), rel=1e-4)


def test_the_files_are_found_by_any_of_their_names(path: Path) -> None:
    for name in (path, data_of(path), path.with_suffix("")):
        assert len(run_source(SigmfSource(path=str(name)))) == 3


def test_a_recording_of_another_tool_is_cut_evenly(tmp_path: Path) -> None:
    samples = gaussian(1000, np.random.default_rng(0))
    samples.tofile(tmp_path / "other.sigmf-data")
    other = sigmf.SigMFFile(data_file=tmp_path / "other.sigmf-data", global_info={"core:datatype": "cf32_le"})
    other.add_capture(0)
    other.tofile(str(tmp_path / "other"))
    got = run_source(SigmfSource(path=str(tmp_path / "other"), length=300, snr_db=20))
    assert [frame["received"].size for frame in got] == [300] * 3
    assert np.array_equal(np.concatenate([frame["received"] for frame in got]), samples[:900])
    assert (got[0]["noise_variance"] == np.float32(0.01)).all()
    assert got[0].tags == {"snr_db": 20}
    with pytest.raises(BlockError, match="1000 samples and no frame"):
        run_source(SigmfSource(path=str(tmp_path / "other"), length=3000))


def test_numbers_are_kept_and_what_was_not_recorded_is_skipped(tmp_path: Path) -> None:
    frames = [frame for frame in received_frames(6) if frame.seq not in (0, 3)]
    run_block(SigmfSink(path=str(tmp_path / "gaps")), frames)
    source = SigmfSource(path=str(tmp_path / "gaps"))
    assert [frame.seq for frame in run_source(source)] == [1, 2, 4, 5]
    assert harness_of(source).skips == ["not recorded"] * 2
    assert len(run_source(SigmfSource(path=str(tmp_path / "gaps"), frames=2))) == 2


def test_samples_that_are_no_numbers_or_clipped_are_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = np.fromfile(data_of(path), np.complex64)
    samples[[3, 4]] = [np.nan, np.inf]
    samples[100:200] = samples[100:200].view(np.float32).clip(-0.5, 0.5).view(np.complex64)
    samples.tofile(data_of(path))
    source = SigmfSource(path=str(path), verify=False)
    got = run_source(source)
    assert np.flatnonzero(got[0]["csi"] == 0).tolist() == [3, 4]
    assert all(np.isfinite(frame["received"]).all() for frame in got)
    record = harness_of(source).records[0]
    assert record["not_finite"] == 2
    assert record["clipped"] > 50
    assert "frame 1" in caplog.text
    assert "clipped" in caplog.text


def test_samples_that_the_metadata_do_not_belong_to_are_refused(path: Path) -> None:
    samples = np.fromfile(data_of(path), np.complex64)
    samples[7] += 1
    samples.tofile(data_of(path))
    with pytest.raises(BlockError, match=r"'path'.*checksum.*verify=False"):
        run_source(SigmfSource(path=str(path)))
    assert len(run_source(SigmfSource(path=str(path), verify=False))) == 3


def test_a_data_file_cut_short_gives_the_frames_that_are_whole(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = data_of(path).read_bytes()
    data_of(path).write_bytes(whole[: 8 * 250])
    source = SigmfSource(path=str(path), verify=False)
    assert [frame.seq for frame in run_source(source)] == [0, 1]
    assert harness_of(source).records[0]["faults"] == {"annotation": 1}
    assert "cannot be true" in caplog.text
    data_of(path).write_bytes(whole[: 8 * 250 + 3])
    with pytest.raises(BlockError, match="2003 bytes are no multiple of 8; it is cut short"):
        run_source(SigmfSource(path=str(path), verify=False))
    data_of(path).write_bytes(b"")
    with pytest.raises(BlockError, match="0 samples and no frame"):
        run_source(SigmfSource(path=str(path), verify=False))


@pytest.mark.parametrize(
    "lie",
    [
        {"core:sample_start": 10**9},
        {"core:sample_count": 10**12},
        {"core:sample_count": 99},  # the header says 100
        {"semstream:frame": -1},
        {"semstream:frame": 10**15},
        {"semstream:frame": "2"},
        {"semstream:gain": [1]},
        {"semstream:gain": ["x", 0]},
        {"semstream:gain": [math.nan, 0]},
        {"semstream:gain": [10**400, 0]},
        {"semstream:noise_variance": -1},
        {"semstream:header": "%%"},
        {"semstream:header": "AAAA"},
    ],
    ids=str,
)
def test_an_annotation_that_lies_costs_its_frame_alone(path: Path, lie: dict[str, Any]) -> None:
    change(path, lambda metadata: metadata["annotations"][2].update(lie))
    source = SigmfSource(path=str(path))
    assert [frame.seq for frame in run_source(source)] == [0, 1]
    assert sum(harness_of(source).records[0]["faults"].values()) == 1


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: m["global"].update({"core:datatype": "ci16_le"}), "cf32_le in 1 channel.* got ci16_le in 1"),
        (lambda m: m["global"].update({"core:num_channels": 2}), "got cf32_le in 2"),
        (lambda m: m["global"].pop("core:datatype"), "not valid SigMF"),
        (lambda m: m.pop("global"), "not valid SigMF"),
        (lambda m: m.update({"annotations": 5}), "not valid SigMF"),
        (lambda m: m["annotations"][0].pop("core:sample_start"), "not valid SigMF"),
    ],
)
def test_metadata_that_are_none_of_ours_are_refused_in_words(path: Path, edit: Any, words: str) -> None:
    change(path, edit)
    with pytest.raises(BlockError, match=rf"sigmf_source.*{words}"):
        run_source(SigmfSource(path=str(path)))


@given(st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_metadata_never_raise_anything_but_block_error(path: Path, data: st.DataObject) -> None:
    whole = path.with_name("whole")
    if not whole.exists():
        whole.write_bytes(path.read_bytes())
    text = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, len(text) - 1))
    if data.draw(st.booleans()):
        del text[place:]
    else:
        text[place] = data.draw(st.integers(0, 255))
    path.write_bytes(text)
    with suppress(BlockError):
        assert len(run_source(SigmfSource(path=str(path), verify=False))) <= 3


def test_a_file_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(BlockError, match=r"there is no none\.sigmf-meta"):
        run_source(SigmfSource(path=str(path.with_name("none"))))
    data_of(path).unlink()
    with pytest.raises(BlockError, match=r"there is no a\.b\.sigmf-data"):
        run_source(SigmfSource(path=str(path)))


def test_the_channels_recording_must_be_as_long(tmp_path: Path) -> None:
    run_block(SigmfSink(path=str(tmp_path / "air")), run_block(FadingChannel(channel="rayleigh"), symbol_frames(2)))
    beside = tmp_path / "air-channel.sigmf-data"
    beside.write_bytes(beside.read_bytes()[:-16])
    with pytest.raises(BlockError, match="999 samples of the channel, and 1000 received"):
        run_source(SigmfSource(path=str(tmp_path / "air"), verify=False))


@pytest.mark.parametrize("channel", ["awgn", "rayleigh"])
def test_a_recorder_that_is_killed_leaves_what_it_had_recorded(
    tmp_path: Path, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "REWRITTEN_EVERY_S", 0.0)
    monkeypatch.setattr(recording, "REWRITING_SHARE", 1e9)
    frames = run_block(FadingChannel(channel=channel), symbol_frames(4))
    recorder = Harness(SigmfSink(path=str(tmp_path / "air")))
    for frame in frames:
        recorder.give(frame)  # and nothing is ever closed
    sigmf.SigMFFile(metadata=(tmp_path / "air.sigmf-meta").read_text()).validate()
    for beside in tmp_path.glob("*.sigmf-data"):
        with beside.open("ab") as data:
            data.write(bytes(5))
    got = run_source(SigmfSource(path=str(tmp_path / "air")))
    assert [frame.seq for frame in got] == [0, 1, 2, 3]
    assert all(np.array_equal(a["received"], b["received"]) for a, b in zip(frames, got, strict=True))
    assert all(np.array_equal(a["csi"], b["csi"]) for a, b in zip(frames, got, strict=True))


def test_a_recording_is_not_written_over_unless_asked_for(path: Path) -> None:
    with pytest.raises(BlockError, match=r"exists; name another, or allow to overwrite"):
        run_block(SigmfSink(path=str(path)), received_frames())
    run_block(SigmfSink(path=str(path), overwrite=True), received_frames(2))
    assert len(run_source(SigmfSource(path=str(path)))) == 2
    (path.parent / "file").write_text("x")
    with pytest.raises(BlockError, match="cannot be made"):
        run_block(SigmfSink(path=str(path.parent / "file" / "below")), received_frames())


def test_frames_without_samples_are_skipped_and_an_empty_recording_is_whole(tmp_path: Path) -> None:
    sink = SigmfSink(path=str(tmp_path / "none"))
    run_block(sink, [Frame({"x": np.zeros(3)}), Frame({"symbols": np.zeros(0, np.complex64)})])
    assert harness_of(sink).skips == ["no_samples"] * 2
    sigmf.SigMFFile(metadata=(tmp_path / "none.sigmf-meta").read_text()).validate()


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sigmf":
            raise ImportError(name)
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BlockError, match=r"pip install 'semstream\[radio\]'"):
        run_block(SigmfSink(path=str(tmp_path / "a")), received_frames())
