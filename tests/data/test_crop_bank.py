"""Crops drawn on the device: where they come from, in which share, and that they are cut right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from codec_fixtures import smooth_pictures

from semstream.data.crop_bank import CropBank, crop_bank
from semstream.data.crops import TrainingDataError, pyramid


def numbered(height: int, width: int, number: int) -> np.ndarray:
    """A picture whose pixels say where they are and in which picture."""
    y, x = np.mgrid[:height, :width]
    return np.stack((y, x, np.full_like(y, number)), axis=-1).astype(np.uint8)


def test_a_crop_is_a_square_of_one_picture_as_it_is_or_mirrored() -> None:
    bank = crop_bank([numbered(40, 57, 1), numbered(33, 90, 2)], numbered(32, 32, 3)[None], crop=16, largest_factor=1)
    crops = bank.draw(500).numpy()
    assert crops.shape == (500, 16, 16, 3)
    assert set(np.unique(crops[..., 2])) == {1, 2, 3}
    assert (crops[..., 2] == crops[:, :1, :1, 2]).all()
    assert (np.diff(crops[..., 0].astype(int), axis=1) == 1).all()
    steps = np.diff(crops[..., 1].astype(int), axis=2)
    assert (steps == steps[:, :1, :1]).all()
    assert set(np.unique(steps)) == {-1, 1}


def test_every_place_of_a_picture_is_drawn_up_to_its_borders() -> None:
    crops = crop_bank([numbered(20, 24, 1)], crop=16, largest_factor=1).draw(3000).numpy()
    assert set(np.unique(crops[:, 0, 0, 0])) == set(range(5))
    assert set(np.unique(crops[..., 1].min(axis=(1, 2)))) == set(range(9))


def test_crops_come_from_photographs_and_small_pictures_in_the_share_asked_for() -> None:
    black, white = np.zeros((50, 32, 32, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    crops = crop_bank([white], black, small_share=0.25).draw(2000)
    assert (crops.amax(dim=(1, 2, 3)) == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_a_photograph_with_more_reduced_copies_is_not_drawn_more_often() -> None:
    large, least = np.full((256, 256, 3), 200, np.uint8), np.full((32, 32, 3), 50, np.uint8)
    assert len(pyramid(large, 32, 8.0)) > len(pyramid(least, 32, 8.0))
    crops = crop_bank([large, least], crop=32).draw(2000)
    assert (crops[:, 0, 0, 0] == 200).float().mean().item() == pytest.approx(0.5, abs=0.04)


def test_the_same_seed_draws_the_same_crops() -> None:
    photographs = list(smooth_pictures(2, 80))
    one, two, other = (crop_bank(photographs, seed=s) for s in (1, 1, 2))
    batch = one.draw(8)
    assert torch.equal(batch, two.draw(8))
    assert not torch.equal(batch, other.draw(8))


def test_a_batch_is_what_a_codec_takes() -> None:
    batch = crop_bank([np.full((40, 40, 3), (255, 0, 51), np.uint8)]).batch(3)
    assert batch.shape == (3, 3, 32, 32)
    assert batch.is_contiguous()
    assert batch[0, :, 5, 5].tolist() == pytest.approx([1.0, 0.0, 0.2])


def test_no_pictures_and_too_small_ones_are_refused() -> None:
    with pytest.raises(TrainingDataError, match="neither"):
        crop_bank([])
    with pytest.raises(TrainingDataError, match="smaller than a crop of 32"):
        CropBank(torch.zeros(100, 3), np.array([[10, 10]]), np.array([0]), 1, crop=32)


def test_pictures_smaller_than_a_crop_are_enlarged_by_reflection() -> None:
    crops = crop_bank([np.full((5, 7, 3), 9, np.uint8)], np.full((2, 8, 8, 3), 9, np.uint8), crop=16).draw(20)
    assert (crops == 9).all()
