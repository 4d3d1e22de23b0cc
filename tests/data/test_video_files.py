import sys

import av
import numpy as np
import pytest
from PIL import Image

from semstream.data.sequence import Corrupt, SourceError, open_sequence


@pytest.fixture
def clip(tmp_path):
    """Twelve frames of 64 x 48, each of one grey level that grows with its number."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size = 4
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_video_gives_its_frames_in_order(clip):
    sequence = open_sequence(str(clip))
    frames = list(sequence)
    assert sequence.length == 12 == len(frames)
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame in frames)
    assert np.allclose([frame.mean() for frame in frames], 20 * np.arange(12), atol=6)


def test_a_video_is_read_again_from_its_start(clip):
    sequence = open_sequence(clip, size=(16, 24))
    first, again = list(sequence), list(sequence)
    assert np.array_equal(first, again)
    assert first[0].shape == (16, 24, 3)


def test_a_loop_begins_again_after_the_last_frame(clip):
    sequence = open_sequence(clip, loop=True)
    assert sequence.length is None
    items = iter(sequence)
    frames = [next(items) for _ in range(25)]
    assert np.array_equal(frames[0], frames[12])
    assert np.array_equal(frames[0], frames[24])


def test_a_video_of_an_unknown_suffix_is_known_by_its_content(clip):
    renamed = clip.rename(clip.with_suffix(".bin"))
    assert len(list(open_sequence(renamed))) == 12


def test_the_rotation_that_a_telephone_notes_is_applied(tmp_path):
    path = tmp_path / "clip.mp4"
    top_white = np.zeros((48, 64, 3), np.uint8)
    top_white[:24] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(top_white, format="rgb24")))
        container.mux(stream.encode(None))
    raw = bytearray(path.read_bytes())
    matrix = raw.find(b"tkhd") + 4 + 40  # the track header's matrix: a, b, u, c, d, v in 16.16 fixed point
    assert raw[matrix : matrix + 4] == b"\0\1\0\0"
    clockwise = (0, 0x10000, 0, -0x10000, 0, 0)
    raw[matrix : matrix + 24] = b"".join(entry.to_bytes(4, "big", signed=True) for entry in clockwise)
    path.write_bytes(raw)
    (frame,) = open_sequence(path)
    assert frame.shape == (64, 48, 3)
    assert frame[:, 26:].mean() > 240
    assert frame[:, :22].mean() < 15


def test_damage_within_a_video_loses_the_damaged_frames_only(clip):
    raw = bytearray(clip.read_bytes())
    start = raw.find(b"mdat") + 4
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        hit = packets[5]
        position, size = hit.pos, hit.size
    assert position > start
    raw[position : position + size] = bytes(size)
    clip.write_bytes(raw)
    items = list(open_sequence(clip))
    assert sum(not isinstance(item, Corrupt) for item in items) >= 10


def test_a_truncated_video_gives_what_had_arrived(tmp_path):
    path = tmp_path / "clip.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = np.random.default_rng(0)
        for _ in range(20):
            picture = noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = [item for item in open_sequence(path) if not isinstance(item, Corrupt)]
    assert 5 <= len(frames) < 20


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_a_file_that_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"clip\.mp4: expected a readable video"):
        open_sequence(path)


def test_sound_without_pictures_is_refused(tmp_path):
    path = tmp_path / "sound.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="without any"):
        open_sequence(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names a device of Linux")
@pytest.mark.parametrize("device", ["camera:99", "camera:/dev/nothing"])
def test_a_missing_camera_is_explained(device):
    with pytest.raises(SourceError, match=f"{device}: expected a readable camera"):
        open_sequence(device)


def test_a_camera_without_a_device_is_refused():
    with pytest.raises(SourceError, match="camera:0"):
        open_sequence("camera:")


def test_an_animation_is_a_sequence(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    sequence = open_sequence(tmp_path / "a.gif")
    assert sequence.length == 3
    assert [p[0, 0].argmax() for p in sequence] == [0, 1, 2]
