"""One string names a source of pictures; `open_sequence` makes it a sequence of uint8 (H, W, 3)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from semstream.data import datasets, photographs, video
from semstream.data.picture import (
    SUFFIXES,
    Corrupt,
    Item,
    Picture,
    PictureError,
    SourceError,
    fit,
    parse_size,
    read_picture,
    read_pictures,
)

__all__ = ["Corrupt", "ImageSequence", "Item", "Picture", "SourceError", "natural_key", "open_sequence"]


class ImageSequence:
    """Pictures in order; each iteration starts at the first.

    Parameters
    ----------
    name : str
        What is shown, for people.
    length : int or None
        Number of items, None where it is endless or not known.
    items : callable
        Makes an iterator over the items, from the first.
    size : (H, W) or None
        Every picture is fitted to it (see `semstream.data.picture.fit`).
    loop : bool
        Begin again at the end. A pass without one readable picture ends it by a SourceError.
    """

    def __init__(
        self,
        name: str,
        length: int | None,
        items: Callable[[], Iterator[Item]],
        size: tuple[int, int] | None = None,
        loop: bool = False,
    ) -> None:
        self.name = name
        self.length = None if loop else length
        self._items = items
        self._size = size
        self._loop = loop

    def __iter__(self) -> Iterator[Item]:
        while True:
            readable = False
            for item in self._items():
                if isinstance(item, Corrupt):
                    yield item
                else:
                    readable = True
                    yield fit(item, self._size)
            if not self._loop:
                return
            if not readable:
                raise SourceError(f"{self.name}: expected pictures to repeat, none can be read; give another source")


def open_sequence(
    source: str | Path = "",
    size: int | tuple[int, int] | None = None,
    loop: bool = False,
    split: str = "test",
) -> ImageSequence:
    """Open a source of pictures.

    Parameters
    ----------
    source : str or Path
        - ``""``: a window moving over scikit-image's photographs, endless, offline;
        - a picture (an animation or a TIFF gives all its pictures), or a video that FFmpeg reads;
        - a folder of pictures, with those in folders below it, in natural order (frame2 before frame10);
        - a folder of CIFAR-10, CIFAR-100 (Python or binary version) or Tiny ImageNet as published, or an .npz archive;
        - ``"camera:0"``: a camera.
    size : int, (H, W) or None
        Fit every picture: it is resized until its shorter side fits and the centre is cut out; N stands for (N, N).
        None keeps each as it is (256 x 256 for the moving window).
    loop : bool
        Begin again at the end.
    split : {"test", "train"}
        Which part of a data set.

    Returns
    -------
    ImageSequence
        Its items are uint8 (H, W, 3), or `Corrupt` for a picture that cannot be read.

    Raises
    ------
    SourceError
        If the source is missing, empty or not understood; one picture that cannot be read counts as that.
    """
    datasets.check_split(split)
    wanted = parse_size(size)
    text = str(source)
    if not text:
        window = photographs.open_photographs(wanted)
        return ImageSequence(
            "scikit-image photographs", None, lambda: map(window.frame, itertools.count()), window.size
        )
    if text.startswith("camera:"):
        camera = video.Camera(text.removeprefix("camera:"))
        return ImageSequence(text, None, lambda: iter(camera), wanted)

    path = Path(source).expanduser()
    try:
        if not path.exists():
            raise SourceError(
                f"{path}: expected a folder, picture, video or .npz archive, there is nothing of this name; check the "
                "path, or leave the source empty for the built-in photographs"
            )
        length, items = _open_folder(path, split) if path.is_dir() else _open_file(path, split)
    except OSError as error:
        raise SourceError(f"{path}: expected to be let in, got {error.strerror or error}; check its rights") from error
    return ImageSequence(path.name or str(path), length, items, wanted, loop)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key under which numbers count as numbers: frame2 comes before frame10."""
    parts = re.split(r"(\d+)", path.as_posix().lower())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


_Opened = tuple[int | None, Callable[[], Iterator[Item]]]


def _open_folder(path: Path, split: str) -> _Opened:
    if datasets.find_cifar(path) is not None:
        return _from_array(datasets.load_cifar(path, split))
    root = datasets.find_tiny_imagenet(path, split) or path
    # A dangling link is a missing picture, to be counted; so nothing is asked of a file but its name.
    files = [file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES and not file.is_dir()]
    files = sorted((file for file in files if not file.name.startswith(".")), key=natural_key)
    if not files:
        raise SourceError(
            f"{path}: expected pictures ({' '.join(sorted(SUFFIXES))}), CIFAR batches or Tiny ImageNet, found none; "
            "give a folder that holds some"
        )
    return len(files), lambda: map(_read, files)


def _open_file(path: Path, split: str) -> _Opened:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _from_array(datasets.load_npz(path, split))
    if suffix in SUFFIXES:
        return _open_picture(path)
    if suffix in video.SUFFIXES:
        clip = video.Video(path)
        return clip.length, lambda: iter(clip)
    for attempt in (_open_picture, _open_video):  # an unknown name: the content decides
        try:
            return attempt(path)
        except SourceError:
            continue
    raise SourceError(
        f"{path}: expected a picture, a video or an .npz archive, its content is neither; convert it first"
    )


def _open_video(path: Path) -> _Opened:
    clip = video.Video(path)
    return clip.length, lambda: iter(clip)


def _open_picture(path: Path) -> _Opened:
    from PIL import Image

    try:
        first = read_picture(path)
    except PictureError as error:
        raise SourceError(f"{path}: expected a picture, {error}; give another file") from error
    with Image.open(path) as image:
        count = getattr(image, "n_frames", 1)
    return count, (lambda: iter([first])) if count == 1 else (lambda: _read_all(path))


def _from_array(pictures: Picture) -> _Opened:
    return len(pictures), lambda: iter(pictures)


def _read(path: Path) -> Item:
    try:
        return read_picture(path)
    except PictureError as error:
        return Corrupt(str(error), str(path))


def _read_all(path: Path) -> Iterator[Item]:
    try:
        yield from read_pictures(path)
    except PictureError as error:
        yield Corrupt(str(error), str(path))
