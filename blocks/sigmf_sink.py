"""SigmfSink: samples to a SigMF recording."""

from __future__ import annotations

from typing import Any

import numpy as np

from blocks._errors import told_by
from blocks._radio import header_of
from semstream.radio import RadioError
from semstream.radio.recording import SigmfWriter
from semstream.runtime import ANY, Block, BlockError, Frame, In, SkipFrame, setting


class SigmfSink(Block):
    """Record complex samples as SigMF, with an annotation a frame.

    Input
    -----
    recorded : ReceivedSymbols, of which the samples are ``received`` and the channel is kept too, or Symbols, of which
    they are ``symbols``. Connect it beside the edge's receiver. A frame of neither is skipped, counted as
    ``no_samples``.

    Records
    -------
    One at the end: path, frames, samples.

    Usage
    -----
    ``SigmfSink(path="air")`` writes ``air.sigmf-data`` (float32 I and Q, for GNU Radio's file source and others) and,
    at the end, ``air.sigmf-meta``. `SigmfSource` plays it to a receiver. What is said of the frames is one JSON text,
    in memory until the end: to record for days, take `Recorder`. Where it may be started again (durable edges), that
    is in ``air.sigmf-frames`` too until the end, and the recording goes on where its snapshot was made.
    """

    recorded = In(ANY)

    class Settings(Block.Settings):
        path: str = setting(description="recording to write, with or without a suffix of SigMF")
        overwrite: bool = setting(False, description="write over a recording that exists")
        sample_rate: float = setting(1e6, gt=0, unit="Hz", description="symbols a second, for other tools")
        modulation: str = setting("pam", description="said of the samples")
        description: str = setting("", description="said of the recording; empty: the flowgraph's name")

    def start(self) -> None:
        self._writer: SigmfWriter | None = None
        if not self.restarts:
            self._writer = self._open()

    def _open(self, state: dict[str, Any] | None = None) -> SigmfWriter:
        s = self.settings
        words = s.description or f"samples of the flowgraph {self.graph!r} of semstream"
        with told_by(self, "path"):
            return SigmfWriter(s.path, s.sample_rate, words, s.overwrite, self.run, state)

    def snapshot(self) -> dict[str, Any]:
        return {"recording": self._writer.snapshot() if self._writer is not None else None}

    def restore(self, state: dict[str, Any]) -> None:
        if state["recording"] is not None:
            self._writer = self._open(state["recording"])

    def process(self, frame: Frame) -> None:
        name = next((name for name in ("received", "symbols") if name in frame), None)
        if name is None or frame[name].ndim != 1 or frame[name].dtype != np.complex64 or not frame[name].size:
            raise SkipFrame("no_samples")
        self._writer = self._writer or self._open()
        samples = frame[name]
        snr_db = frame.tags.get("snr_db")
        try:
            self._writer.add(
                frame.seq,
                samples,
                gain=frame["csi"] if "csi" in frame else np.ones(samples.size, np.complex64),
                noise_variance=frame["noise_variance"] if "csi" in frame else np.zeros(samples.size, np.float32),
                snr_db=float(snr_db) if isinstance(snr_db, (int, float)) else None,
                modulation=self.settings.modulation,
                header=header_of(frame, samples.size),
            )
        except RadioError as error:
            raise BlockError(f"block {self.name!r}: {error}") from None

    def stop(self) -> None:
        if self.resumes:
            if self._writer is not None:
                self._writer.abandon()
            return
        self._writer = self._writer or self._open()
        with told_by(self, "path"):
            self._writer.close()
        self.publish({"path": self.settings.path, "frames": self._writer.frames, "samples": self._writer.count})
