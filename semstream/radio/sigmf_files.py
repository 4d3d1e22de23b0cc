"""The two files of one SigMF recording, as they are written: samples, and what is known about them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from semstream.radio.errors import RadioError
from semstream.radio.sigmf_schema import check

META, DATA = ".sigmf-meta", ".sigmf-data"
SAMPLE = np.dtype("<c8")
UNFINISHED = "semstream:unfinished"
Annotation = tuple[int, int, dict[str, Any]]
"""First sample, number of samples, what is said of them."""
_NAMESPACE = {"name": "semstream", "version": "1.0.0", "optional": True}


class SigmfFiles:
    """Samples that grow, and their metadata.

    Parameters
    ----------
    base
        Path without SigMF's suffixes.
    sample_rate
        In Hz.
    description
        In words.
    channels
        Samples of one moment.

    Attributes
    ----------
    count : int
        Moments that are written.
    begun : str
        When the first file was made, as SigMF writes a time.
    """

    def __init__(self, base: Path, sample_rate: float, description: str, channels: int = 1) -> None:
        self.base = base
        self.count = 0
        self.begun = ""
        self._item_bytes = SAMPLE.itemsize * channels
        self._file: BinaryIO | None = None
        self._global: dict[str, Any] = {
            "core:datatype": "cf32_le",
            "core:sample_rate": sample_rate,
            "core:description": description,
            "core:recorder": "semstream",
            "core:num_channels": channels,
            "core:extensions": [_NAMESPACE],
        }

    @property
    def paths(self) -> tuple[Path, Path]:
        """Of the samples and of the metadata."""
        return with_suffix(self.base, DATA), with_suffix(self.base, META)

    def create(self) -> None:
        """Begin with no samples, in place of what there is.

        Raises
        ------
        RadioError
            If the files cannot be made.
        """
        data, meta = self.paths
        try:
            data.parent.mkdir(parents=True, exist_ok=True)
            meta.unlink(missing_ok=True)  # it would belong to other samples
            self._file = data.open("wb")
        except OSError as error:
            raise RadioError(f"recording {data}: cannot be made ({error.strerror or error})") from None
        self.begun = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def go_on(self, count: int, begun: str) -> None:
        """Take up what another writer has begun, without what it had written beyond `count`.

        Raises
        ------
        RadioError
            If there is less than that.
        """
        data, _ = self.paths
        size = count * self._item_bytes
        try:
            file = data.open("r+b")
            self._file = file
            there = file.seek(0, 2)
            if there >= size:
                file.truncate(size)
                file.seek(size)
        except OSError as error:
            raise RadioError(f"recording {data}: cannot be gone on with ({error.strerror or error})") from None
        if there < size:
            raise RadioError(f"recording {data}: expected at least {size} bytes, got {there}")
        self.count, self.begun = count, begun

    def write(self, samples: np.ndarray) -> None:
        """Append samples (N,), or (N, channels); they are in the file when this returns.

        Raises
        ------
        RadioError
            If the disk is full or has failed.
        """
        assert self._file is not None
        try:
            self._file.write(np.ascontiguousarray(samples, SAMPLE).tobytes())
            self._file.flush()
        except OSError as error:
            raise RadioError(
                f"recording {self.base}: cannot be written ({error.strerror or error}); {self.count} samples are in it"
            ) from None
        self.count += len(samples)

    def describe(self, annotations: list[Annotation], finished: bool) -> None:
        """Write the metadata, in one step.

        Raises
        ------
        RadioError
            If they cannot be written, or are not valid.
        """
        sigmf = package()
        data, meta = self.paths
        try:
            made = sigmf.SigMFFile(global_info=self._global | ({} if finished else {UNFINISHED: True}))
            if self.count and finished:
                made.set_data_file(data)  # which notes its checksum
            made.add_capture(0, {"core:datetime": self.begun})
            for start, length, facts in annotations:
                if length:
                    made.add_annotation(start, length, facts)
            if finished:
                check(made._metadata)
            part = meta.with_name(meta.name + ".part")
            part.write_text(made.dumps(pretty=finished) + "\n", encoding="utf-8")
            part.replace(meta)  # what reads it meanwhile finds the one or the other
        except (sigmf.error.SigMFError, OSError, ValueError) as error:
            raise RadioError(f"recording {self.base}: its metadata cannot be written ({error})") from None

    def remove(self) -> None:
        """Remove what is here of another recording.

        Raises
        ------
        RadioError
            If that cannot be.
        """
        for path in self.paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise RadioError(f"recording {path}: cannot be removed ({error.strerror or error})") from None

    def close(self) -> bool:
        """Close the samples; False if they were."""
        if self._file is None or self._file.closed:
            return False
        self._file.close()
        return True


def base_of(path: str) -> Path:
    """The path of a recording without SigMF's suffix."""
    found = Path(path).expanduser()
    return found.with_suffix("") if found.suffix in (META, DATA) else found


def with_suffix(base: Path, suffix: str) -> Path:
    """A file of the recording; a dot in its name is no suffix."""
    return base.with_name(base.name + suffix)


def package() -> ModuleType:
    """The package `sigmf`.

    Raises
    ------
    RadioError
        If it is not installed.
    """
    try:
        import sigmf
    except ImportError:
        raise RadioError("SigMF needs the package sigmf: pip install 'semstream[radio]'") from None
    return sigmf
