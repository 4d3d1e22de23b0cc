"""Training and calibration pictures from what a user has: folders, CIFAR, Tiny ImageNet, .npz."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semstream.data.crops import Pictures, TrainingDataError, load_photographs


def load_small(path: Path) -> Pictures:
    """Training pictures of one small size, (N, S, S, 3) uint8, from an `.npz` with `x_train` or a dataset's folder.

    Raises
    ------
    TrainingDataError
        If the file or folder is not one of these.
    """
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as file:
                pictures = np.asarray(file["x_train"])
        except (OSError, KeyError, ValueError) as error:
            raise TrainingDataError(f"training pictures {path}: expected an .npz with x_train ({error})") from None
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
            raise TrainingDataError(
                f"training pictures {path}: x_train should be uint8 (N, H, W, 3), is {pictures.dtype} {pictures.shape}"
            )
        return pictures
    from semstream.data.sequence import SourceError, open_sequence

    try:
        sequence = open_sequence(str(path), split="train")
        return np.stack([picture for picture in sequence if isinstance(picture, np.ndarray)])
    except (SourceError, ValueError) as error:
        raise TrainingDataError(f"training pictures {path}: {error}") from None


def is_small_dataset(path: Path) -> bool:
    """Whether the path is an .npz, or a folder in the published layout of CIFAR-10, CIFAR-100 or Tiny ImageNet."""
    markers = ("data_batch_1", "data_batch_1.bin", "train", "train.bin", "wnids.txt")
    if path.suffix == ".npz":
        return True
    is_cifar_100 = (path / "train").is_file()
    return path.is_dir() and (is_cifar_100 or any((path / m).is_file() for m in markers if m != "train"))


def load_training(paths: Sequence[Path]) -> tuple[list[Pictures], Pictures | None]:
    """Load all training pictures.

    Parameters
    ----------
    paths
        Folders of photographs, dataset folders and .npz files, in any mix. Small datasets must share one picture size.

    Returns
    -------
    photographs, small
        Pictures of any sizes, and (N, S, S, 3) uint8 or None.

    Raises
    ------
    TrainingDataError
        If a path does not exist or holds no pictures.
    """
    photographs: list[Pictures] = []
    small: list[Pictures] = []
    for path in paths:
        if not path.exists():
            raise TrainingDataError(f"training pictures {path}: no such file or folder")
        if is_small_dataset(path):
            small.append(load_small(path))
        elif path.is_dir():
            photographs.extend(load_photographs(path))
        else:
            raise TrainingDataError(f"training pictures {path}: expected a folder of pictures, a dataset or an .npz")
    if len({p.shape[1:] for p in small}) > 1:
        raise TrainingDataError(
            "training pictures: the small datasets have pictures of different sizes; train on one of them"
        )
    return photographs, np.concatenate(small) if small else None
