import itertools
import socket

import numpy as np
import pytest

from semstream.data import photographs
from semstream.data.photographs import FILES, MovingWindow, photograph_files
from semstream.data.picture import SourceError, read_picture
from semstream.data.sequence import open_sequence


def difference(first, second):
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def test_there_are_at_least_four_photographs_in_colour():
    files = photograph_files()
    assert len(files) >= 4
    for file in files:
        picture = read_picture(file).astype(int)
        assert np.abs(picture[..., 0] - picture[..., 2]).mean() > 5


def test_the_default_source_needs_no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the default source asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    sequence = open_sequence()
    assert sequence.length is None
    assert next(iter(sequence)).shape == (256, 256, 3)


@pytest.mark.parametrize("size", [(1, 1), (32, 32), (64, 256), (256, 256), (301, 299), (800, 1000)])
def test_the_window_has_any_size(size):
    window = MovingWindow(size, cut_every=1)
    for index in range(len(FILES)):
        frame = window.frame(index)
        assert frame.shape == (*size, 3)
        assert frame.dtype == np.uint8


def test_a_frame_depends_on_its_number_alone():
    window = MovingWindow((32, 32))
    forward = [window.frame(index) for index in range(60)]
    fresh = MovingWindow((32, 32))
    assert all(np.array_equal(fresh.frame(index), forward[index]) for index in reversed(range(60)))


def test_the_sequence_is_the_window_frame_by_frame_and_repeats_from_the_start():
    sequence = open_sequence("", size=32)
    first, again = (list(itertools.islice(sequence, 5)) for _ in range(2))
    window = MovingWindow((32, 32))
    assert all(np.array_equal(a, window.frame(index)) for index, a in enumerate(first))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("size", [32, 256])
def test_motion_is_smooth_within_a_shot_and_jumps_at_a_cut(size):
    window = MovingWindow((size, size), cut_every=10)
    frames = [window.frame(index) for index in range(50)]
    changes = [difference(a, b) for a, b in itertools.pairwise(frames)]
    cuts, within = changes[9::10], [c for index, c in enumerate(changes) if index % 10 != 9]
    assert max(within) < min(cuts)
    assert np.count_nonzero(within) >= len(within) - 2, "it rests at a turning point only"


def test_every_photograph_is_shown_and_later_visits_differ():
    window = MovingWindow((64, 64), cut_every=4)
    starts = [window.frame(4 * shot) for shot in range(2 * len(FILES))]
    for first, second in itertools.combinations(starts, 2):
        assert difference(first, second) > 1


def test_a_window_near_the_size_of_a_photograph_shows_original_pixels():
    window = MovingWindow((256, 256), cut_every=1)
    original = read_picture(photograph_files()[1])  # chelsea, 300 x 451
    frame = window.frame(1)
    places = np.lib.stride_tricks.sliding_window_view(original[..., 0], (1, 64))
    assert (places == frame[100, :64, 0]).all(axis=(2, 3)).any()


def test_missing_photographs_are_explained(monkeypatch):
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="pip install scikit-image"):
        open_sequence()


def test_an_impossible_path_is_refused():
    with pytest.raises(SourceError, match="cut_every"):
        MovingWindow(cut_every=0)
