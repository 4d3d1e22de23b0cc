"""SigMF recordings of bursts: complex float samples in one file, and in another what is known about them.

``NAME.sigmf-data`` holds cf32_le, which GNU Radio's file source and every other tool read as they are;
``NAME.sigmf-meta`` an annotation a frame, written and validated by the package `sigmf` (extra ``radio``). Beside the
standard's own keys an annotation has, in the namespace ``semstream``:

==================  =================================================================================================
key                 value
==================  =================================================================================================
``frame``           number of the frame
``snr_db``          Es/N0 in dB; null where it is not known, or infinite
``modulation``      name of the modulation
``gain``            [real, imaginary] gain of the frame's channel, where it is one
``noise_variance``  σ² of the complex noise, where it is one
``header``          base64 of what the receiver is told beside the samples
==================  =================================================================================================

Where gain or noise change within a frame, ``NAME-channel`` is a recording of two channels, gain and noise variance,
with as many samples.

The metadata are there from the start and are written anew while it grows, with ``semstream:unfinished`` and without a
checksum, so that a crash costs the annotations of the last second and no samples.
"""

from __future__ import annotations

import base64
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from semstream.radio.errors import RadioError
from semstream.radio.messages import Samples
from semstream.radio.sigmf_schema import check

META, DATA = ".sigmf-meta", ".sigmf-data"
SAMPLE = np.dtype("<c8")
UNFINISHED = "semstream:unfinished"
REWRITTEN_EVERY_S = 1.0
"""Time between two versions of the metadata of a recording that goes on."""
REWRITING_SHARE = 0.05
"""Most of the time that is spent on them: of a long recording they are written less often."""
_NAMESPACE = {"name": "semstream", "version": "1.0.0", "optional": True}


class SigmfWriter:
    """Writes a recording. The samples are on disk at once, the metadata every second and when it is closed.

    Parameters
    ----------
    path
        With or without one of SigMF's suffixes.
    sample_rate
        In Hz, for other tools; semstream itself counts in samples.
    description
        In words.
    overwrite
        Whether a recording that exists may be written over.

    Raises
    ------
    RadioError
        If `sigmf` is not installed, the recording exists or cannot be made.
    """

    def __init__(self, path: str, sample_rate: float, description: str = "", overwrite: bool = False) -> None:
        self._sigmf = package()
        self.base = base_of(path)
        self.count = 0
        self.frames = 0
        self._overwrite = overwrite
        self._channel: SigmfWriter | None = None
        self._global: dict[str, Any] = {
            "core:datatype": "cf32_le",
            "core:sample_rate": sample_rate,
            "core:description": description,
            "core:recorder": "semstream",
            "core:num_channels": 1,
            "core:extensions": [_NAMESPACE],
        }
        self._begun = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._annotations: list[tuple[int, int, dict[str, Any]]] = []
        data = with_suffix(self.base, DATA)
        for existing in (data, with_suffix(self.base, META)):
            if existing.exists() and not overwrite:
                raise RadioError(f"recording {existing}: the file exists; name another, or allow to overwrite it")
        try:
            data.parent.mkdir(parents=True, exist_ok=True)
            with_suffix(self.base, META).unlink(missing_ok=True)  # it would belong to other samples
            self._file: BinaryIO = data.open("wb")
        except OSError as error:
            raise RadioError(f"recording {data}: cannot be made ({error.strerror or error})") from None
        self._due = 0.0

    def add(
        self,
        number: int,
        samples: Samples,
        *,
        gain: Samples | None = None,
        noise_variance: np.ndarray | None = None,
        snr_db: float | None = None,
        modulation: str = "pam",
        header: bytes = b"",
    ) -> None:
        """Append one frame.

        Parameters
        ----------
        number
            Of the frame.
        samples
            (N,) complex64.
        gain, noise_variance
            (N,) complex64 and float32, where they are known.
        snr_db, modulation, header
            What is said of it.

        Raises
        ------
        RadioError
            If the disk is full or has failed.
        """
        facts: dict[str, Any] = {
            "core:label": f"frame {number}",
            "core:generator": "semstream",
            "semstream:frame": number,
            "semstream:snr_db": snr_db if snr_db is not None and math.isfinite(snr_db) else None,
            "semstream:modulation": modulation,
        }
        if header:
            facts["semstream:header"] = base64.b64encode(header).decode()
        if gain is not None and noise_variance is not None and samples.size:
            if bool((gain == gain[0]).all()) and bool((noise_variance == noise_variance[0]).all()):
                facts["semstream:gain"] = [float(gain[0].real), float(gain[0].imag)]
                facts["semstream:noise_variance"] = float(noise_variance[0])
            else:
                self._write_channel(gain, noise_variance)
        self._write(np.ascontiguousarray(samples, SAMPLE))
        self._annotations.append((self.count, samples.size, facts))
        self.count += samples.size
        self.frames += 1
        self._describe_now_and_then()

    def close(self) -> None:
        """Write the metadata.

        Raises
        ------
        RadioError
            If they cannot be written, or are not valid.
        """
        if self._file.closed:
            return
        self._file.close()
        if self._channel is not None:
            self._channel._fill(self.count)
            self._channel.close()
        self._describe(finished=True)

    def _describe_now_and_then(self) -> None:
        """The metadata so far: every second, or less often where writing them takes long."""
        begin = time.monotonic()
        if begin < self._due:
            return
        if self._channel is not None:
            self._channel._fill(self.count)
            self._channel._describe(finished=False)
        self._describe(finished=False)
        end = time.monotonic()
        self._due = end + max(REWRITTEN_EVERY_S, (end - begin) / REWRITING_SHARE)

    def _describe(self, finished: bool) -> None:
        target = with_suffix(self.base, META)
        try:
            meta = self._sigmf.SigMFFile(global_info=self._global | ({} if finished else {UNFINISHED: True}))
            if self.count and finished:
                meta.set_data_file(with_suffix(self.base, DATA))  # which notes its checksum
            meta.add_capture(0, {"core:datetime": self._begun})
            for start, length, facts in self._annotations:
                if length:
                    meta.add_annotation(start, length, facts)
            if finished:
                check(meta._metadata)
            part = target.with_name(target.name + ".part")
            part.write_text(meta.dumps(pretty=finished) + "\n", encoding="utf-8")
            part.replace(target)  # in one step: what reads it meanwhile finds the one or the other
        except (self._sigmf.error.SigMFError, OSError, ValueError) as error:
            raise RadioError(f"recording {self.base}: its metadata cannot be written ({error})") from None

    def _write_channel(self, gain: Samples, noise_variance: np.ndarray) -> None:
        if self._channel is None:
            base = self.base.with_name(self.base.name + "-channel")
            rate, words = self._global["core:sample_rate"], f"gain and noise variance of {self.base.name}"
            self._channel = SigmfWriter(str(base), rate, words, self._overwrite)
            self._channel._global["core:num_channels"] = 2
        self._channel._fill(self.count)
        self._channel._write(np.stack([gain, noise_variance.astype(np.complex64)], axis=1).astype(SAMPLE))
        self._channel.count += gain.size

    def _fill(self, count: int) -> None:
        """Zeros for frames that need no entry."""
        if count > self.count:
            self._write(np.zeros((count - self.count, 2), SAMPLE))
            self.count = count

    def _write(self, samples: np.ndarray) -> None:
        try:
            self._file.write(samples.tobytes())
            self._file.flush()
        except OSError as error:
            raise RadioError(
                f"recording {self.base}: cannot be written ({error.strerror or error}); {self.frames} frames are in it"
            ) from None


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
