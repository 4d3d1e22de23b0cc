"""IqSink: a frame's symbols as complex samples to a ZeroMQ socket."""

from __future__ import annotations

import time
from collections import deque
from typing import Literal

import numpy as np

from blocks._errors import told_by
from blocks._radio import RadioSettings, waveform
from blocks.ports import Symbols
from semstream.radio.bursts import BurstWriter
from semstream.radio.link import SLICE_MS, Sockets
from semstream.runtime import Block, BlockError, Frame, In, SkipFrame, setting
from semstream.runtime.frames import wire


class IqSink(Block):
    """Send complex samples to GNU Radio, or to whatever else takes them over ZeroMQ.

    Input
    -----
    symbols : Symbols, complex64 (N,). A frame with NaN or infinite symbols is skipped, counted as ``not_finite``.

    Records
    -------
    One at the end: bursts, samples (with pilots, lead-in and flush).

    Usage
    -----
    ``IqSink(endpoint="tcp://127.0.0.1:5555")`` for a ZMQ PULL Source there, with tags passed. Messages are those of GNU
    Radio's blocks: ``raw`` and ``tagged`` for streams, ``pdu`` for message blocks. With tags or as PDUs a burst carries
    its number and, in ``frame``, what the receiver is told about it beside its samples (`IqSource` reads it); raw
    samples carry nothing. Nothing is lost: while nobody takes samples, the sink waits.
    """

    symbols = In(Symbols)

    class Settings(RadioSettings):
        endpoint: str = setting("tcp://127.0.0.1:5555", description="where samples are taken")
        bind: bool = setting(True, description="bind the endpoint (GNU Radio's sources connect), or connect to it")
        csi: Literal["known", "pilots", "preamble"] = setting("known", description="how the receiver knows the channel")
        timeout: float = setting(30.0, gt=0, unit="s", description="longest wait until somebody takes samples")

    def start(self) -> None:
        s = self.settings
        with told_by(self, "csi"):
            self._waveform = waveform(s.csi, s)
        self._writer = BurstWriter(s.mode, s.layout)
        self._outgoing: deque[bytes] = deque()
        self._bursts = 0
        self._sockets = Sockets()
        try:
            with told_by(self, "endpoint"):
                self._sockets.open_push(s.endpoint, bind=s.bind)
        except BaseException:
            self._sockets.close()
            raise

    def process(self, frame: Frame) -> None:
        symbols = frame["symbols"]
        if not symbols.size:
            raise SkipFrame("no_symbols")
        if not np.isfinite(symbols).all():
            self.log.warning("frame %d: symbols that are not finite; left out", frame.seq)
            raise SkipFrame("not_finite")
        header = {"tags": frame.tags, "t0_ns": frame.t0_ns, "count": symbols.size}
        if "class_map" in frame:
            header["class_map"] = frame["class_map"].tobytes()
        if not self._bursts:
            self._outgoing.extend(self._writer.opening())
        with told_by(self, "longest"):
            _, messages = self._writer.burst(frame.seq, self._waveform.modulate(symbols), wire.pack(header))
        self._bursts += 1
        self._outgoing.extend(messages)
        deadline = time.monotonic() + self.settings.timeout
        while self._outgoing:
            self._sockets.move(self._outgoing, SLICE_MS)
            if self._outgoing and not self.pause(0.002):
                return
            if self._outgoing and time.monotonic() > deadline:
                raise BlockError(
                    f"block {self.name!r}: nobody has taken samples at {self.settings.endpoint} for "
                    f"{self.settings.timeout:g} s; start the GNU Radio flowgraph there, or allow a longer timeout"
                )

    def stop(self) -> None:
        if self._bursts:
            self._outgoing.extend(self._writer.ending())
            deadline = time.monotonic() + 1.0
            while self._outgoing and time.monotonic() < deadline:
                self._sockets.move(self._outgoing, SLICE_MS)
        self._sockets.close(linger_s=2.0)
        self.publish({"bursts": self._bursts, "samples": self._writer.sent})
