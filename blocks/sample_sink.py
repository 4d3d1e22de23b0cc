"""SampleSink: a stream of samples to a file or a socket."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from blocks._errors import told_by
from blocks.ports import Samples
from semstream.radio import RadioError
from semstream.radio.bursts import CHUNK
from semstream.radio.link import SLICE_MS, Sockets
from semstream.radio.messages import encode_samples
from semstream.radio.sample_files import SampleWriter, writer
from semstream.runtime import Block, BlockError, Frame, In, setting


class SampleSink(Block):
    """Write complex samples to a file, or send them over ZeroMQ, as they are: float32 I and Q in turn and nothing else.

    Input
    -----
    samples : Samples, complex64 (N,).

    Records
    -------
    One at the end: to, samples.

    Usage
    -----
    ``SampleSink(to="air.cf32")`` for GNU Radio's file source; ``to="air.sigmf-meta"`` writes air.sigmf-data and, from
    the start and every second, air.sigmf-meta, so that a crash leaves a recording that can be read;
    ``to="tcp://127.0.0.1:5555"`` binds a ZeroMQ PUSH socket, to which a ZMQ PULL Source of GNU Radio or `SampleSource`
    connects. Nothing is lost: while nobody takes samples, the sink waits.
    """

    samples = In(Samples)

    class Settings(Block.Settings):
        to: str = setting(description="file, or ZeroMQ endpoint such as tcp://127.0.0.1:5555")
        bind: bool = setting(True, description="bind the endpoint (GNU Radio's sources connect), or connect to it")
        allow_remote: bool = setting(False, description="bind an endpoint that other hosts reach; there are no keys")
        timeout: float = setting(30.0, gt=0, unit="s", description="longest wait until somebody takes samples")
        overwrite: bool = setting(False, description="write over a file that exists")
        sample_rate: float = setting(1e6, gt=0, unit="Hz", description="said in a SigMF recording, for other tools")
        modulation: str = setting("qam", description="said in a SigMF recording")

    def start(self) -> None:
        s = self.settings
        self._count = 0
        self._writer: SampleWriter | None = None
        self._sockets: Sockets | None = None
        self._outgoing: deque[bytes] = deque()
        if "://" not in s.to:
            words = f"samples of the flowgraph {self.graph!r} of semstream"
            with told_by(self, "to"):
                self._writer = writer(s.to, s.sample_rate, words, s.modulation, s.overwrite)
            return
        self._sockets = Sockets(s.allow_remote)
        try:
            with told_by(self, "to"):
                self._sockets.open_push(s.to, bind=s.bind)
        except BaseException:
            self._sockets.close()
            raise

    def process(self, frame: Frame) -> None:
        samples = frame["samples"]
        self._count += samples.size
        if self._writer is not None:
            try:
                self._writer.write(frame.seq, samples)
            except RadioError as error:
                raise BlockError(f"block {self.name!r}: {error}") from None
            return
        self._outgoing.extend(encode_samples(samples[at : at + CHUNK]) for at in range(0, samples.size, CHUNK))
        deadline = time.monotonic() + self.settings.timeout
        self._send(lambda: self.pause(0.002), deadline)
        if self._outgoing and time.monotonic() >= deadline:
            raise BlockError(
                f"block {self.name!r}: nobody has taken samples at {self.settings.to} for {self.settings.timeout:g} s; "
                "start the receiver or the GNU Radio flowgraph there, or allow a longer timeout"
            )

    def _send(self, go_on: Callable[[], bool], deadline: float) -> None:
        assert self._sockets is not None
        while self._outgoing and time.monotonic() < deadline:
            self._sockets.move(self._outgoing, SLICE_MS)
            if self._outgoing and not go_on():
                return

    def stop(self) -> None:
        if self._writer is not None:
            with told_by(self, "to"):
                self._writer.close()
        elif self._sockets is not None:
            self._send(lambda: True, time.monotonic() + 1.0)
            self._sockets.close(linger_s=2.0)
        self.publish({"to": self.settings.to, "samples": self._count})
