"""SampleSource: a stream of samples from a file or a socket."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

import numpy as np

from blocks._errors import told_by
from blocks.ports import Samples
from semstream.radio import RadioError
from semstream.radio.link import SLICE_MS, Sockets
from semstream.radio.messages import decode_samples
from semstream.radio.sample_files import SampleFile
from semstream.runtime import Block, BlockError, Frame, Out, setting


class SampleSource(Block):
    """Read complex samples, float32 I and Q in turn, from a file or over ZeroMQ, until they end.

    Output
    ------
    samples : Samples, complex64 (N,), in pieces as they come; from a file `chunk` at a time. Last come `flush` zeros,
    by which a receiver gets the last frame out.

    Records
    -------
    One at the end: source, samples.

    Usage
    -----
    ``SampleSource(source="air.cf32")``, also of GNU Radio's file sink; ``source="air.sigmf-meta"``;
    ``source="tcp://127.0.0.1:5556"`` connects to a ZMQ PUSH Sink of GNU Radio or to `SampleSink`. A socket says nothing
    of an end: it is one when nothing has come for `silence`.
    """

    samples = Out(Samples)

    class Settings(Block.Settings):
        source: str = setting(description="file, or ZeroMQ endpoint such as tcp://127.0.0.1:5556")
        bind: bool = setting(False, description="bind the endpoint, or connect to it (GNU Radio's sinks bind)")
        allow_remote: bool = setting(False, description="bind an endpoint that other hosts reach; there are no keys")
        patience: float = setting(30.0, gt=0, unit="s", description="longest wait for the first sample")
        silence: float = setting(3.0, gt=0, unit="s", description="without samples, after which a stream has ended")
        chunk: int = setting(8192, ge=1, le=2**20, unit="samples", description="of a file at a time")
        flush: int = setting(4096, ge=0, le=2**20, unit="samples", description="zeros behind the last sample")
        verify: bool = setting(True, description="compare the checksum of a SigMF recording")

    def start(self) -> None:
        s = self.settings
        self._count = 0
        self._sockets: Sockets | None = None
        self._file: SampleFile | None = None
        if "://" not in s.source:
            with told_by(self, "source"):
                self._file = SampleFile(s.source, s.verify)
            if self._file.left_over:
                self.log.warning("%s: %d bytes at its end are no sample; it was cut", s.source, self._file.left_over)
            return
        self._sockets = Sockets(s.allow_remote)
        try:
            with told_by(self, "source"):
                self._sockets.open_pull(s.source, bind=s.bind)
        except BaseException:
            self._sockets.close()
            raise

    def frames(self) -> Iterator[Frame]:
        for samples in self._file.chunks(self.settings.chunk) if self._file is not None else self._received():
            if samples.size:
                self._count += samples.size
                yield Frame({"samples": samples})
        if self.settings.flush:
            yield Frame({"samples": np.zeros(self.settings.flush, np.complex64)})

    def _received(self) -> Iterator[np.ndarray]:
        s = self.settings
        assert self._sockets is not None
        heard = time.monotonic()
        while True:
            message = self._sockets.move(deque(), SLICE_MS)
            if message is not None:
                heard = time.monotonic()
                try:
                    yield decode_samples(message)
                except RadioError as error:
                    raise BlockError(f"block {self.name!r}: {error}") from None
            elif not self.pause(0.001):
                return
            elif time.monotonic() - heard > (s.silence if self._count else s.patience):
                if self._count:
                    return
                raise BlockError(
                    f"block {self.name!r}: no sample has come from {s.source} within {s.patience:g} s; does the "
                    "transmitter run, or GNU Radio with a ZMQ PUSH Sink there?"
                )

    def stop(self) -> None:
        if self._sockets is not None:
            self._sockets.close()
        self.publish({"source": self.settings.source, "samples": self._count})
