"""SigmfSource: a SigMF recording, played to a receiver."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from blocks._errors import told_by
from blocks._radio import read_header, received_frame
from blocks.ports import ReceivedSymbols
from semstream.phy import noise_power
from semstream.phy.channel import Reception
from semstream.radio.recording_reader import Recorded, SigmfReader
from semstream.radio.samples import inspect
from semstream.runtime import Block, BlockError, Frame, Out, setting

MOST_MISSING = 10_000
"""Largest jump in the numbers of frames that is taken for frames not recorded."""


class SigmfSource(Block):
    """Play a SigMF recording of complex float samples (cf32_le).

    Output
    ------
    received : ReceivedSymbols. What `SigmfSink` has recorded comes back as it was, with its tags, channel and numbers,
    so that the pictures are those of the link that was recorded; frames that are not in it are skipped and counted as
    ``not recorded``. Any other recording is cut into frames of `length` samples, of the SNR that the settings say.

    Records
    -------
    One at the end: path, frames, not_finite, clipped (samples), faults (of annotations).

    Usage
    -----
    ``SigmfSource(path="air.sigmf-meta")``. A sample that is no number is 0 with a gain of 0: nothing is known of it.
    """

    received = Out(ReceivedSymbols)

    class Settings(Block.Settings):
        path: str = setting(description="recording, with or without a suffix of SigMF")
        verify: bool = setting(True, description="compare the checksum of the samples with that in the metadata")
        length: int = setting(4096, ge=1, unit="samples", description="of a frame, where the recording has none")
        snr_db: float = setting(10.0, ge=-50, unit="dB", description="Es/N0, where the recording does not say")
        frames: int = setting(0, ge=0, description="stop after so many; 0: at the end")

    def start(self) -> None:
        self._frames = 0
        self._wrong = {"not_finite": 0, "clipped": 0}
        with told_by(self, "path"):
            self._reader = SigmfReader(self.settings.path, self.settings.verify)

    def frames(self) -> Iterator[Frame]:
        ours = self._reader.has_frames
        due = 0
        for recorded in self._reader.frames() if ours else self._reader.pieces(self.settings.length):
            number = due if recorded.number is None else recorded.number
            if not due <= number <= due + MOST_MISSING:
                self._reader.faults["number"] += 1
                continue
            for _ in range(due, number):
                self.skip("not recorded")
            due = number + 1
            try:
                frame = self._frame(recorded, number)
            except ValueError as error:
                self._reader.faults["header"] += 1
                self.log.warning("frame %d: what was recorded with it is damaged (%s); left out", number, error)
                self.skip("side_information")
                continue
            yield frame
            self._frames += 1
            if self._frames == self.settings.frames:
                return
        if self._reader.faults:
            self.log.warning("%s: %s that cannot be true, left out", self._reader.base, dict(self._reader.faults))
        if not self._frames:
            raise BlockError(
                f"block {self.name!r}, setting 'path': {self._reader.base} has {self._reader.samples.size} samples and "
                f"no frame that can be read ({dict(self._reader.faults) or 'too few samples'})"
            )

    def _frame(self, recorded: Recorded, number: int) -> Frame:
        told = read_header(recorded.header) | {"t0_ns": 0}  # made now, and not when it was recorded
        if told.get("count", recorded.samples.size) != recorded.samples.size:
            raise ValueError(f"{recorded.samples.size} samples, its header says {told['count']}")
        found = inspect(recorded.samples)
        wrong = {"not_finite": int(np.count_nonzero(~found.good)), "clipped": found.clipped}
        for name, count in wrong.items():
            self._wrong[name] += count
            if count:
                self.log.warning(
                    "frame %d: %d of %d samples %s", number, count, found.samples.size, name.replace("_", " ")
                )
        snr_db, variance = recorded.snr_db, recorded.noise_variance
        if recorded.number is None:
            snr_db = self.settings.snr_db
            variance = np.full(variance.shape, noise_power(snr_db), np.float32)
        gain = np.where(found.good, recorded.gain, np.complex64(0))
        tags = {} if snr_db is None else {"snr_db": snr_db}
        return received_frame(Reception(found.samples, gain, variance), told, tags)

    def stop(self) -> None:
        self.publish(
            {"path": self.settings.path, "frames": self._frames, **self._wrong, "faults": dict(self._reader.faults)}
        )
