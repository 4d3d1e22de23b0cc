"""Research data sets in the layouts in which they are published: CIFAR-10/100, Tiny ImageNet, and .npz archives.

Nothing is downloaded. The archives are https://www.cs.toronto.edu/~kriz/cifar.html and cs231n's tiny-imagenet-200.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from semstream.data.picture import Picture, SourceError

SPLITS = ("train", "test")
_PIXELS = 3 * 32 * 32
_BATCHES = [f"data_batch_{number}" for number in range(1, 6)]
# Layout: {split: files}, and label bytes before each picture of the binary ones (None: pickled).
_CIFAR: tuple[tuple[dict[str, list[str]], int | None], ...] = (
    ({"train": _BATCHES, "test": ["test_batch"]}, None),
    ({"train": [f"{name}.bin" for name in _BATCHES], "test": ["test_batch.bin"]}, 1),
    ({"train": ["train"], "test": ["test"]}, None),
    ({"train": ["train.bin"], "test": ["test.bin"]}, 2),
)


def check_split(split: str) -> None:
    """Raise SourceError unless ``split`` is "train" or "test"."""
    if split not in SPLITS:
        raise SourceError(f"split: expected train or test, got {split!r}")


def find_cifar(folder: Path) -> Path | None:
    """The folder of CIFAR batches at or one level below ``folder``, or None."""
    inside = [folder / name for name in ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python")]
    for candidate in (folder, *inside, folder / "cifar-100-binary"):
        for files, _ in _CIFAR:
            if any((candidate / name).is_file() for names in files.values() for name in names):
                return candidate
    return None


def load_cifar(folder: Path, split: str = "test") -> Picture:
    """Load CIFAR-10 or CIFAR-100, Python (pickled) or binary version.

    Parameters
    ----------
    folder : Path
        cifar-10-batches-py, cifar-10-batches-bin, cifar-100-python, cifar-100-binary, or the folder that holds it.
    split : {"test", "train"}

    Returns
    -------
    ndarray (N, 32, 32, 3), uint8
        In the order of the files.

    Raises
    ------
    SourceError
        If a batch is missing, cut short or no CIFAR batch.
    """
    check_split(split)
    root = find_cifar(folder)
    if root is None:
        raise SourceError(f"{folder}: expected CIFAR-10 or CIFAR-100 batches, found none; unpack the archive there")
    for files, label_bytes in _CIFAR:
        names = files[split]
        present = [name for name in names if (root / name).is_file()]
        if present:
            missing = sorted(set(names) - set(present))
            if missing:
                raise SourceError(f"{root}: expected {', '.join(names)}, missing {', '.join(missing)}; unpack it again")
            planes = np.concatenate([_read_batch(root / name, label_bytes) for name in names])
            return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    raise SourceError(f"{root}: expected the {split} batches of CIFAR, found only the others; unpack the archive again")


def _read_batch(path: Path, label_bytes: int | None) -> Picture:
    """Rows of 3072 bytes, red, green and blue plane of each picture."""
    if label_bytes is not None:
        raw = np.fromfile(path, dtype=np.uint8)
        if raw.size == 0 or raw.size % (label_bytes + _PIXELS):
            raise SourceError(
                f"{path}: expected a multiple of {label_bytes + _PIXELS} bytes, got {raw.size}; unpack it again"
            )
        return raw.reshape(-1, label_bytes + _PIXELS)[:, label_bytes:]
    try:
        with path.open("rb") as file:
            batch = _ArrayUnpickler(file).load()
        data = batch[b"data"] if b"data" in batch else batch["data"]
    except Exception as error:  # a damaged pickle raises nearly anything
        raise SourceError(
            f"{path}: expected a CIFAR batch, got {error or type(error).__name__}; unpack it again"
        ) from error
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:
        raise SourceError(f"{path}: expected data of uint8 (N, {_PIXELS}), got {_describe(data)}; unpack it again")
    return data


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dicts, lists, strings, numbers and NumPy arrays, and refuses every other class.

    A pickle can run any code that it names; CIFAR's Python version is published as one, so only the two or three
    constructors that build a plain array are let through.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        # Asking an array for its own constructors finds them in every NumPy version, under either module name.
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return np.empty(0).__reduce_ex__(5)[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return _latin1
        raise pickle.UnpicklingError(f"{module}.{name}, which has no place in a data set and was not run")


def _latin1(text: str | bytes, encoding: str | bytes = "latin1") -> bytes:
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("bytes of an unknown encoding")
    return text if isinstance(text, bytes) else text.encode("latin1")


def find_tiny_imagenet(folder: Path, split: str = "test") -> Path | None:
    """Folder of Tiny ImageNet's pictures for a split, or None where ``folder`` does not hold that data set.

    "test" is ``val/images``, as in the literature: the labels of ``test/images`` were never published.
    """
    for root in (folder, folder / "tiny-imagenet-200"):
        if (root / "wnids.txt").is_file() and (root / "train").is_dir():
            wanted = root / "train" if split == "train" else root / "val"
            if not wanted.is_dir():
                raise SourceError(f"{root}: expected Tiny ImageNet's folder {wanted.name}, found none; unpack it again")
            return wanted
    return None


def load_npz(path: Path, split: str = "test") -> Picture:
    """Load pictures from an .npz archive.

    Parameters
    ----------
    path : Path
        Archive with ``x_test`` and ``x_train`` (Keras' layout), or with one array of pictures of any name: uint8,
        (N, H, W, 3), (N, H, W, 1), (N, H, W) or channels first, (N, 3, H, W).
    split : {"test", "train"}

    Returns
    -------
    ndarray (N, H, W, 3), uint8

    Raises
    ------
    SourceError
        If the archive is damaged or holds no such array. Pickled objects in it are never loaded.
    """
    check_split(split)
    wanted = f"x_{split}"
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            name = wanted if wanted in names else names[0] if len(names) == 1 else ""
            pictures = archive[name] if name else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise SourceError(
            f"{path}: expected an .npz archive of plain arrays, got {error}; save it with np.savez"
        ) from error
    if pictures is None:
        raise SourceError(f"{path}: expected an array {wanted}, found {', '.join(names) or 'none'}; rename it")
    return _as_rgb(pictures, f"{path}, array {name}")


def _as_rgb(pictures: Any, where: str) -> Picture:
    if pictures.dtype == np.uint8 and pictures.size:
        if pictures.ndim == 3:
            pictures = pictures[..., None]
        if pictures.ndim == 4 and pictures.shape[3] not in (1, 3) and pictures.shape[1] in (1, 3):
            pictures = pictures.transpose(0, 2, 3, 1)
        if pictures.ndim == 4 and pictures.shape[3] in (1, 3):
            return np.ascontiguousarray(np.broadcast_to(pictures, (*pictures.shape[:3], 3)))
    raise SourceError(f"{where}: expected pictures, uint8 (N, H, W, 3), got {_describe(pictures)}; convert them first")


def _describe(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
