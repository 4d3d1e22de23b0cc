"""Streams of complex samples in files: plain (cf32, as GNU Radio's file blocks have them) and SigMF.

What a path is follows from its name: ``air.sigmf-meta`` or ``air.sigmf-data`` is a SigMF recording, of both files; any
other is plain float32 I and Q in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from semstream.radio.errors import RadioError
from semstream.radio.messages import Samples
from semstream.radio.recording import SigmfWriter
from semstream.radio.recording_reader import SigmfReader
from semstream.radio.sigmf_files import DATA, META, SAMPLE


class SampleWriter(Protocol):
    """Writes a stream of samples."""

    def write(self, number: int, samples: Samples) -> None:
        """Append the samples (N,) of one frame; they are on disk when it returns."""

    def close(self) -> None:
        """Finish the file."""


def writer(
    path: str, sample_rate: float, description: str = "", modulation: str = "", overwrite: bool = False
) -> SampleWriter:
    """The writer of a file, by its name.

    Raises
    ------
    RadioError
        If the file exists or cannot be made.
    """
    if is_sigmf(path):
        return _SigmfStream(path, sample_rate, description, modulation, overwrite)
    return _PlainStream(path, overwrite)


def is_sigmf(path: str) -> bool:
    """Whether a path names a SigMF recording."""
    return path.endswith((META, DATA))


class _PlainStream:
    def __init__(self, path: str, overwrite: bool) -> None:
        self._path = Path(path).expanduser()
        if self._path.exists() and not overwrite:
            raise RadioError(f"{self._path}: the file exists; name another, or allow to overwrite it")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._path.open("wb")
        except OSError as error:
            raise RadioError(f"{self._path}: cannot be made ({error.strerror or error})") from None

    def write(self, number: int, samples: Samples) -> None:
        try:
            self._file.write(np.ascontiguousarray(samples, SAMPLE).tobytes())
            self._file.flush()
        except OSError as error:
            raise RadioError(f"{self._path}: cannot be written ({error.strerror or error})") from None

    def close(self) -> None:
        self._file.close()


class _SigmfStream:
    def __init__(self, path: str, sample_rate: float, description: str, modulation: str, overwrite: bool) -> None:
        self._modulation = modulation
        self._writer = SigmfWriter(path, sample_rate, description, overwrite)

    def write(self, number: int, samples: Samples) -> None:
        # What the gain is and the noise, the receiver is not told.
        self._writer.add(number, samples, modulation=self._modulation)

    def close(self) -> None:
        self._writer.close()


class SampleFile:
    """Reads a stream of samples from a file.

    Parameters
    ----------
    path
        See above.
    verify
        Compare the checksum of a SigMF recording.

    Raises
    ------
    RadioError
        If the file is missing, or a SigMF recording is not valid.

    Attributes
    ----------
    left_over : int
        Bytes at the end of a plain file that are no whole sample: it was cut.
    """

    def __init__(self, path: str, verify: bool = True) -> None:
        if is_sigmf(path):
            self._samples: np.ndarray = SigmfReader(path, verify).samples
            self.left_over = 0
            return
        place = Path(path).expanduser()
        if not place.is_file():
            raise RadioError(f"{place}: there is no such file of samples")
        size = place.stat().st_size
        self.left_over = size % SAMPLE.itemsize
        count = size // SAMPLE.itemsize
        self._samples = np.memmap(place, SAMPLE, "r", shape=(count,)) if count else np.zeros(0, SAMPLE)

    @property
    def count(self) -> int:
        """Samples in the file."""
        return int(self._samples.size)

    def chunks(self, size: int) -> Iterator[Samples]:
        """All samples, `size` at a time."""
        for start in range(0, self.count, size):
            yield np.array(self._samples[start : start + size], np.complex64)
