import numpy as np
import pytest

from semstream.phy import generator

GOLDEN = [3851559335, 2686164971, 1577855686, 2655216429]


def test_the_same_seed_name_and_frame_draw_the_same_numbers():
    first = generator(7, "channel", 3).standard_normal(100)
    assert np.array_equal(first, generator(7, "channel", 3).standard_normal(100))


@pytest.mark.parametrize("other", [(8, "channel", 3), (7, "channel2", 3), (7, "channel", 4), (-7, "channel", 3)])
def test_another_seed_name_or_frame_draws_other_numbers(other):
    first = generator(7, "channel", 3).standard_normal(1000)
    second = generator(*other).standard_normal(1000)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    assert not np.isin(first, second).any()


def test_seed_and_name_are_not_confused_when_their_digits_run_together():
    assert generator(1, "2x", 0).random() != generator(12, "x", 0).random()


def test_a_frame_needs_no_frame_before_it():
    later = generator(0, "channel", 2**63).random(4)
    for seq in range(5):
        generator(0, "channel", seq).random(1000)
    assert np.array_equal(later, generator(0, "channel", 2**63).random(4))


def test_the_numbers_are_the_same_on_every_machine_and_version():
    golden = generator(0, "channel", 0).integers(0, 2**32, 4)
    assert golden.tolist() == GOLDEN


@pytest.mark.parametrize("seq", [-1, 2**64])
def test_a_frame_number_out_of_range_is_refused(seq):
    with pytest.raises(ValueError, match="seq"):
        generator(0, "channel", seq)
