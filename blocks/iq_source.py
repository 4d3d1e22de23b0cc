"""IqSource: complex samples from a ZeroMQ socket, as received symbols."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import Literal

from blocks._errors import told_by
from blocks._radio import BurstReceiver, RadioSettings, read_header, received_frame, waveform
from blocks.ports import ReceivedSymbols
from semstream.phy import noise_power
from semstream.radio import RadioError
from semstream.radio.burst_reader import reader
from semstream.radio.bursts import Burst
from semstream.radio.link import SLICE_MS, Sockets
from semstream.runtime import Block, BlockError, Frame, Out, setting

MOST_LOST = 10_000
"""Largest jump in the numbers of bursts that is taken for loss and not for a lie."""


class IqSource(Block):
    """Receive complex samples from GNU Radio, or from whatever else gives them over ZeroMQ.

    Output
    ------
    received : ReceivedSymbols: ``received`` y, ``csi`` as the receiver knows it, both complex64 (N,), and
    ``noise_variance`` float32 (N,), by `snr_db`. What `IqSink` has sent along comes as the frame's tags, so that the
    picture can be decoded; samples of another source have none. Bursts that are missing, by their numbers, are skipped
    and counted as ``lost_burst``.

    Records
    -------
    One at the end: bursts, lost, missing_samples, not_finite, clipped (samples), faults (by kind).

    Usage
    -----
    ``IqSource(endpoint="tcp://127.0.0.1:5556", snr_db=10)`` behind a ZMQ PUSH Sink there, with tags passed. A ``raw``
    stream has no bursts: it is cut into frames of `burst` samples. It ends when the sink says that no burst follows, or
    after `patience` without a message.
    """

    received = Out(ReceivedSymbols)
    repeatable = False

    class Settings(RadioSettings):
        endpoint: str = setting("tcp://127.0.0.1:5556", description="where samples are given")
        bind: bool = setting(False, description="bind the endpoint, or connect to it (GNU Radio's sinks bind)")
        csi: Literal["known", "pilots", "preamble"] = setting("known", description="how the channel is known")
        snr_db: float = setting(10.0, ge=-50, unit="dB", description="Es/N0 of what comes; inf: error-free")
        channel: str = setting("radio", description="name of the channel in records")
        burst: int = setting(4096, ge=1, unit="samples", description="samples of a frame of a raw stream")
        frames: int = setting(0, ge=0, description="stop after so many; 0: at the end of the stream")
        patience: float = setting(30.0, gt=0, unit="s", description="longest wait for a message")

    def start(self) -> None:
        s = self.settings
        with told_by(self, "csi"):
            self._waveform = waveform(s.csi, s)
        with told_by(self, "snr_db"):
            self._variance = noise_power(s.snr_db)
        self._receiver = BurstReceiver(self, self._waveform)
        self._reader = reader(s.mode, s.layout, every=s.burst)
        self._next = 0
        self._sockets = Sockets(s.allow_remote)
        try:
            with told_by(self, "endpoint"):
                self._sockets.open_pull(s.endpoint, bind=s.bind)
        except BaseException:
            self._sockets.close()
            raise

    def frames(self) -> Iterator[Frame]:
        given = 0
        limit = self.settings.frames or float("inf")
        for burst in self._bursts():
            if given >= limit:
                return
            if burst.number < self._next or burst.number > self._next + MOST_LOST:
                self._reader.faults["number"] += 1
                self.log.warning("burst %d where %d was due; left out", burst.number, self._next)
                continue
            for _ in range(self._next, burst.number):
                self._receiver.lose(0)
                self.skip("lost_burst")
            self._next = burst.number + 1
            frame = self._frame(burst)
            if frame is None:
                self.skip("side_information")
                continue
            given += 1
            yield frame
            if given >= limit:
                return

    def _bursts(self) -> Iterator[Burst]:
        s = self.settings
        heard = time.monotonic()
        while not self._reader.ended:
            message = self._sockets.move(deque(), SLICE_MS)
            if message is not None:
                heard = time.monotonic()
                try:
                    yield from self._reader.feed(message)
                except RadioError as error:
                    raise BlockError(f"block {self.name!r}: {error}") from None
            elif not self.pause(0.002):
                return
            elif time.monotonic() - heard > s.patience:
                if self._receiver.counts["bursts"] or s.mode == "raw":
                    self.log.warning("nothing has come from %s for %g s: taken for the end", s.endpoint, s.patience)
                    return
                told = ", ".join(f"{kind}: {n}" for kind, n in self._reader.faults.items()) or "nothing came"
                raise BlockError(
                    f"block {self.name!r}: no burst from {s.endpoint} within {s.patience:g} s ({told}); is GNU Radio "
                    "running, with a ZMQ PUSH Sink there and tags passed, and is mode right?"
                )

    def _frame(self, burst: Burst) -> Frame | None:
        """The frame of a burst; None if what came along with it cannot be true."""
        try:
            told = read_header(burst.header)
        except ValueError as error:
            self._reader.faults["frame"] += 1
            self.log.warning("burst %d: what came along is damaged (%s)", burst.number, error)
            return None
        count = told.get("count", burst.samples.size - self._waveform.overhead(burst.samples.size))
        if count < 1 or count + self._waveform.overhead(count) != burst.samples.size:
            self._reader.faults["frame"] += 1
            self.log.warning(
                "burst %d of %d samples is said to have %d symbols; has csi=%r at both ends?",
                burst.number, burst.samples.size, count, self.settings.csi,
            )  # fmt: skip
            return None
        reception = self._receiver.receive(burst, count, self._variance)
        tags = {
            "snr_db": self.settings.snr_db,
            "channel": self.settings.channel,
            "channel_uses": burst.samples.size,
            "missing_samples": burst.missing,
        }
        return received_frame(reception, told, tags)

    def stop(self) -> None:
        self._sockets.close()
        faults: Counter[str] = self._reader.faults
        self.publish(self._receiver.counts | {"faults": dict(faults)})
