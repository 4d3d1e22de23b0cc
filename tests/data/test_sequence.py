import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semstream.data.sequence import Corrupt, SourceError, natural_key, open_sequence


def write(folder, name, level=0, size=(6, 4)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


def test_a_folder_is_read_in_natural_order_with_folders_below(tmp_path):
    for level, name in enumerate(["a2.png", "a10.png", "b/c1.jpg", "b/C02.png"]):
        write(tmp_path, name, 10 * level)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    sequence = open_sequence(str(tmp_path))
    assert sequence.length == 4
    assert [round(float(p.mean()) / 10) for p in sequence] == [0, 1, 2, 3]


def test_natural_order_counts_numbers_as_numbers():
    names = [Path(n) for n in ("x10", "x9", "x1", "X2", "x", "9", "x1y")]
    assert [p.name for p in sorted(names, key=natural_key)] == ["9", "x", "x1", "x1y", "X2", "x9", "x10"]


def test_corrupt_and_missing_pictures_are_marked_and_the_sequence_goes_on(tmp_path):
    write(tmp_path, "1.png", 1)
    (tmp_path / "2.png").write_bytes(b"not a picture")
    cut = write(tmp_path, "3.jpg", 3, (64, 64))
    cut.write_bytes(cut.read_bytes()[:-300])
    (tmp_path / "4.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "5.png").touch()
    write(tmp_path, "6.png", 6)
    items = list(open_sequence(tmp_path))
    assert [isinstance(item, Corrupt) for item in items] == [False, True, True, True, True, False]
    assert items[3].reason == "the file is missing"
    assert items[3].path.endswith("4.png")
    assert "truncated" in items[2].reason.lower()


def test_a_picture_deleted_after_opening_is_marked_missing(tmp_path):
    write(tmp_path, "1.png")
    gone = write(tmp_path, "2.png")
    sequence = open_sequence(tmp_path)
    gone.unlink()
    assert [isinstance(item, Corrupt) for item in sequence] == [False, True]


def test_every_size_fits_the_one_asked_for(tmp_path):
    for index, size in enumerate([(1, 1), (47, 33), (10, 4000)]):
        write(tmp_path, f"{index}.png", size=size)
    assert [p.shape for p in open_sequence(tmp_path)] == [(1, 1, 3), (33, 47, 3), (4000, 10, 3)]
    assert [p.shape for p in open_sequence(tmp_path, size=32)] == [(32, 32, 3)] * 3
    assert [p.shape for p in open_sequence(tmp_path, size=(8, 24))] == [(8, 24, 3)] * 3


def test_one_picture_is_a_sequence_of_one_and_repeats_in_a_loop(tmp_path):
    path = write(tmp_path, "a.png", 9)
    assert open_sequence(path).length == 1
    assert len(list(open_sequence(path))) == 1
    assert len(list(itertools.islice(open_sequence(path, loop=True), 7))) == 7


def test_a_picture_of_an_unknown_suffix_is_known_by_its_content(tmp_path):
    path = write(tmp_path, "a.png", 9).rename(tmp_path / "picture")
    assert np.array_equal(next(iter(open_sequence(path))), np.full((4, 6, 3), 9))


def test_a_loop_over_nothing_readable_ends_with_an_error(tmp_path):
    (tmp_path / "1.png").write_bytes(b"broken")
    items = iter(open_sequence(tmp_path, loop=True))
    assert isinstance(next(items), Corrupt)
    with pytest.raises(SourceError, match="none can be read"):
        next(items)


def test_a_single_picture_that_is_broken_is_an_error_at_once(tmp_path):
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(SourceError, match=r"1\.png: expected a picture"):
        open_sequence(tmp_path / "1.png")


@pytest.mark.parametrize("name", ["nothing", "nothing.png", "nothing.npz", "nothing.mp4", "bad\0name"])
def test_a_missing_path_is_named_with_the_way_out(tmp_path, name):
    with pytest.raises(SourceError, match="check the path"):
        open_sequence(str(tmp_path / name))


def test_a_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="found none"):
        open_sequence(tmp_path)


def test_a_file_of_unknown_content_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="its content is neither"):
        open_sequence(tmp_path / "notes.txt")
