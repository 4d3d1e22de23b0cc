"""ImageSource, ImageSink and Throttle on real files."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from codec_fixtures import smooth_pictures
from PIL import Image

from blocks import ImageSink, ImageSource, Throttle
from semstream.runtime import BlockError, Frame
from semstream.testing import harness_of, run_block, run_source


def write_folder(folder: Path, count: int = 3) -> np.ndarray:
    folder.mkdir()
    pictures = smooth_pictures(count)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i}.png")
    return pictures


def test_the_default_source_is_a_moving_window_over_photographs() -> None:
    frames = run_source(ImageSource(size=64, frames=5))
    assert [f["image"].shape for f in frames] == [(64, 64, 3)] * 5
    assert all(f["image"].std() > 5 for f in frames)
    assert not np.array_equal(frames[0]["image"], frames[1]["image"])


def test_a_folder_is_played_in_order_and_looped(tmp_path: Path) -> None:
    pictures = write_folder(tmp_path / "in")
    frames = run_source(ImageSource(source=str(tmp_path / "in"), frames=5, loop=True))
    assert [f.seq for f in frames] == [0, 1, 2, 3, 4]
    for i, frame in enumerate(frames):
        assert np.array_equal(frame["image"], pictures[i % 3])


def test_a_source_starts_again_after_so_many_frames_and_takes_one_of_so_many(tmp_path: Path) -> None:
    pictures = write_folder(tmp_path / "in", 5)
    frames = run_source(ImageSource(source=str(tmp_path / "in"), frames=5, repeat=2, every=2))
    for i, frame in enumerate(frames):
        assert np.array_equal(frame["image"], pictures[(0, 2)[i % 2]])


def test_a_corrupt_picture_is_skipped_and_counted_and_keeps_its_number(tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    whole = (tmp_path / "in" / "1.png").read_bytes()
    (tmp_path / "in" / "1.png").write_bytes(whole[: len(whole) // 2])
    source = ImageSource(source=str(tmp_path / "in"))
    frames = run_source(source)
    assert [f.seq for f in frames] == [0, 2]
    assert harness_of(source).skips == ["corrupt_picture"]


def test_a_missing_source_is_named() -> None:
    with pytest.raises(BlockError, match=r"block 'image_source', setting 'source': /no/such/place"):
        run_source(ImageSource(source="/no/such/place"))


def test_a_paced_source_asks_to_wait_a_frame_time() -> None:
    source = ImageSource(size=16, frames=4, fps=10)
    run_source(source)
    # The harness notes the wish to wait and does not: three frame times, less what making frames took.
    assert 0.2 <= harness_of(source).paused <= 0.7


def test_pictures_written_to_a_folder_are_those_that_came(tmp_path: Path) -> None:
    pictures = smooth_pictures(2)
    run_block(ImageSink(path=str(tmp_path / "out")), [Frame({"image": p}) for p in pictures])
    for i, picture in enumerate(pictures):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / f"{i:08d}.png")), picture)


def test_a_video_holds_every_picture_of_the_first_ones_size(tmp_path: Path) -> None:
    pictures = smooth_pictures(6, 48)
    frames = [Frame({"image": p}) for p in pictures]
    frames.insert(3, Frame({"image": smooth_pictures(1, 16)[0]}))
    sink = ImageSink(path=str(tmp_path / "out.mp4"), fps=10)
    run_block(sink, frames)
    assert harness_of(sink).skips == ["size"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(decoded) == 6
    assert np.abs(decoded[0].astype(int) - pictures[0]).mean() < 10


def test_a_throttle_holds_frames_back_to_its_rate() -> None:
    block = Throttle(fps=10)
    frames = [Frame({"image": p}) for p in smooth_pictures(4, 8)]
    assert len(run_block(block, frames)) == 4
    # Every frame but the first waits for its turn; the harness does not wait, so the wishes add up: 0.1 + 0.2 + 0.3 s.
    assert harness_of(block).paused == pytest.approx(0.6, abs=0.05)
