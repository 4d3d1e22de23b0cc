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
checksum, so that a crash costs the annotations of the last second and no samples. In a run whose blocks are started
again not even those: until the end they are in ``NAME.sigmf-frames`` too (`frame_log`), and the next writer goes on.
"""

from __future__ import annotations

import base64
import json
import math
import time
from typing import Any

import numpy as np

from semstream.radio.errors import RadioError
from semstream.radio.frame_log import FrameLog
from semstream.radio.messages import Samples
from semstream.radio.sigmf_files import SAMPLE, Annotation, SigmfFiles, base_of, package, with_suffix

FRAMES = ".sigmf-frames"
REWRITTEN_EVERY_S = 1.0
"""Time between two versions of the metadata of a recording that goes on."""
REWRITING_SHARE = 0.05
"""Most of the time that is spent on them: of a long recording they are written less often."""


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
    run
        Name of a run in which the writer may be started again: then there is a `snapshot`, and what an earlier writer
        of that run has left is taken up or written over.
    state
        What `snapshot` gave in an earlier life: the recording goes on there, without what came after it.

    Raises
    ------
    RadioError
        If `sigmf` is not installed, the recording exists, cannot be made, or lacks what `state` says.
    """

    def __init__(
        self,
        path: str,
        sample_rate: float,
        description: str = "",
        overwrite: bool = False,
        run: str = "",
        state: dict[str, Any] | None = None,
    ) -> None:
        package()
        base = base_of(path)
        beside = base.with_name(base.name + "-channel")
        self._samples = SigmfFiles(base, sample_rate, description)
        self._channel = SigmfFiles(beside, sample_rate, f"gain and noise variance of {base.name}", 2)
        self._log = FrameLog(with_suffix(base, FRAMES), run)
        self._is_logged = bool(run)
        self._annotations: list[Annotation] = []
        self._due = 0.0
        if state is None:
            self._create(overwrite or (self._is_logged and self._log.is_own))
        else:
            self._go_on(state)

    @property
    def count(self) -> int:
        """Samples so far."""
        return self._samples.count

    @property
    def frames(self) -> int:
        """Frames so far."""
        return len(self._annotations)

    def snapshot(self) -> dict[str, Any]:
        """Where it stands, for the writer of a later life: some numbers, however long it is."""
        channel = {"count": self._channel.count, "begun": self._channel.begun}
        return {"count": self.count, "begun": self._samples.begun, "frames_bytes": self._log.size, "channel": channel}

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
        annotation = self.count, samples.size, facts
        self._samples.write(samples)
        self._annotations.append(annotation)
        if self._is_logged:
            self._log.add(annotation)
        self._describe_now_and_then()

    def close(self) -> None:
        """Write the metadata.

        Raises
        ------
        RadioError
            If they cannot be written, or are not valid.
        """
        if not self._samples.close():
            return
        if self._channel.begun:
            self._fill_channel()
            self._channel.close()
            self._channel.describe([], finished=True)
        self._samples.describe(self._annotations, finished=True)
        self._log.close()
        self._log.remove()

    def abandon(self) -> None:
        """Close the files as they are, for a writer that goes on with them."""
        self._samples.close()
        self._channel.close()
        self._log.close()

    def _create(self, overwrite: bool) -> None:
        for existing in (*self._samples.paths, *self._channel.paths):
            if existing.exists() and not overwrite:
                raise RadioError(f"recording {existing}: the file exists; name another, or allow to overwrite it")
        if self._is_logged:
            self._log.begin()  # first: by it what follows is known as this run's
        self._samples.create()
        self._channel.remove()  # of what was here before: it would belong to other samples
        if not self._is_logged:
            self._log.remove()

    def _go_on(self, state: dict[str, Any]) -> None:
        count, channel = state["count"], state["channel"]
        if self._log.path.exists():
            self._annotations = self._log.go_on(state["frames_bytes"])
        else:  # the one before had closed it, and died before that was known
            self._annotations = self._described()
            self._log.begin(self._annotations)
        if sum(length for _, length, _ in self._annotations) != count:
            raise RadioError(f"recording {self._samples.base}: {count} samples, and other frames than were in them")
        self._samples.go_on(count, state["begun"])
        if channel["begun"]:
            self._channel.go_on(channel["count"], channel["begun"])
        else:  # if there is one, it is of frames that do not count
            self._channel.remove()

    def _described(self) -> list[Annotation]:
        """The annotations of the metadata."""
        _, meta = self._samples.paths
        try:
            told = json.loads(meta.read_text(encoding="utf-8"))["annotations"]
            return [(facts.pop("core:sample_start"), facts.pop("core:sample_count"), facts) for facts in told]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RadioError(f"recording {meta}: cannot be gone on with ({error})") from None

    def _describe_now_and_then(self) -> None:
        """The metadata so far: every second, or less often where writing them takes long."""
        begin = time.monotonic()
        if begin < self._due:
            return
        if self._channel.begun:
            self._fill_channel()
            self._channel.describe([], finished=False)
        self._samples.describe(self._annotations, finished=False)
        end = time.monotonic()
        self._due = end + max(REWRITTEN_EVERY_S, (end - begin) / REWRITING_SHARE)

    def _write_channel(self, gain: Samples, noise_variance: np.ndarray) -> None:
        if not self._channel.begun:
            self._channel.create()
        self._fill_channel()
        self._channel.write(np.stack([gain, noise_variance.astype(np.complex64)], axis=1))

    def _fill_channel(self) -> None:
        """Zeros for frames that need no entry."""
        missing = self.count - self._channel.count
        if missing > 0:
            self._channel.write(np.zeros((missing, 2), SAMPLE))
