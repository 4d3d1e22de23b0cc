"""QamDemodulator: received QAM symbols to features, by what their own header says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from blocks._qam import open_link
from blocks.ports import Features, ReceivedSymbols
from semstream.codec.qam_link import Received
from semstream.quantize.dequantize import NOISE_CAP
from semstream.runtime import Block, Frame, In, Out, SkipFrame, live, setting

Heard = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Received symbols, their gains, and the variance of their noise."""


class QamDemodulator(Block):
    """Read the header, demap, decode, and take the posterior mean of each feature over what its bits may have been.

    A frame whose header is lost is concealed: the features of the last good frame are given again, so that its picture
    is shown again; before any, features of which nothing is known (grey). Bits of a word that did not decode are used
    for what is known of them.

    Input
    -----
    received : ReceivedSymbols, header first. Of the tags only ``size`` and ``scale`` are looked at, and only to conceal
    a frame before any was good; without them such a frame is skipped, counted as ``header``.

    Output
    ------
    features : Features; ``features`` and ``noise_variance`` float32 (h, w, C). Tags from the header (side information)
    and ``concealed``, ``words``, ``words_failed``.

    Records
    -------
    One at the end: frames, headers_lost, words, words_failed, payload_bits (of the frames read), channel_uses.

    Usage
    -----
    ``QamDemodulator()`` behind a channel that `QamModulator` sends over; ``header_rate`` must be the same at both. It
    remembers the last good frame, so several replicas would each conceal by their own.
    """

    received = In(ReceivedSymbols)
    features = Out(Features)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        header_rate: float = setting(1 / 3, ge=0.2, le=0.75, description="code rate of the header")
        iterations: int = live(15, ge=1, le=200, description="most iterations of the LDPC decoder")
        rule: Literal["sum-product", "min-sum"] = live("sum-product", description="of the decoder's checks")
        most_frames: int = live(
            8, ge=1, le=256, unit="frames", description="of those that wait, so many are decoded together"
        )

    def preload(self) -> tuple[str, ...]:
        return ("scipy.special",)

    def start(self) -> None:
        self._link = open_link(self, self.settings.weights)
        self._last: Received | None = None
        self._heard: Heard | None = None
        self._counts = dict.fromkeys(
            ("frames", "headers_lost", "words", "words_failed", "payload_bits", "channel_uses"), 0
        )

    @property
    def batch(self) -> int:
        most: int = self.settings.most_frames
        return most

    def process(self, frame: Frame) -> Frame:
        (got,) = self._received([frame])
        return self._given(frame, got)

    def process_batch(self, frames: Sequence[Frame]) -> list[Frame | SkipFrame]:
        given: list[Frame | SkipFrame] = []
        for frame, got in zip(frames, self._received(frames), strict=True):
            try:
                given.append(self._given(frame, got))
            except SkipFrame as skip:
                given.append(skip)
        return given

    def _received(self, frames: Sequence[Frame]) -> list[Received | None]:
        s = self.settings
        return self._link.receive([_heard(frame) for frame in frames], s.header_rate, s.iterations, s.rule)

    def _given(self, frame: Frame, got: Received | None) -> Frame:
        """The frame of what was received, or what conceals it."""
        self._counts["frames"] += 1
        self._counts["channel_uses"] += frame["received"].size
        number = frame.tags.get("number", frame.seq)  # a receiver of samples may have missed the first ones
        if got is not None and got.header.seq != number % 2**16:
            self.log.warning("frame %d: its header says number %d", number, got.header.seq)
            got = None
        if got is None:
            self._counts["headers_lost"] += 1
            return self._concealed(frame)
        self._last, self._heard = got, _heard(frame)
        self._counts["words"] += got.words
        self._counts["words_failed"] += got.failed
        self._counts["payload_bits"] += got.side.payload_bits
        return self._frame(got, {"concealed": False, "words": got.words, "words_failed": got.failed})

    def _frame(self, got: Received, tags: dict[str, object]) -> Frame:
        return Frame(
            {"features": got.features, "noise_variance": got.noise_variance}, tags={**got.side.to_tags(), **tags}
        )

    def _concealed(self, frame: Frame) -> Frame:
        tags: dict[str, object] = {"concealed": True, "words": 0, "words_failed": 0}
        if self._last is not None:
            # What was sent for this frame is still what it cost.
            cost: dict[str, object] = {
                name: frame.tags[name] for name in ("payload_bits", "side_bits") if name in frame.tags
            }
            return self._frame(self._last, {**cost, **tags})
        size = frame.tags.get("size")
        known = isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) and 0 < n < 2**16 for n in size)
        if not known or not isinstance(frame.tags.get("scale"), float):
            raise SkipFrame("header")
        assert isinstance(size, list)
        shape = self._link.feature_shape((size[0], size[1]))
        return Frame(
            {"features": np.zeros(shape, np.float32), "noise_variance": np.full(shape, NOISE_CAP, np.float32)},
            tags={**tags, "scale": 1.0},
        )

    def snapshot(self) -> dict[str, Any]:
        return {"counts": self._counts, "heard": None if self._heard is None else list(self._heard)}

    def restore(self, state: dict[str, Any]) -> None:
        s = self.settings
        self._counts, heard = state["counts"], state["heard"]
        self._heard = None if heard is None else (heard[0], heard[1], heard[2])
        if self._heard is not None:
            (self._last,) = self._link.receive([self._heard], s.header_rate, s.iterations, s.rule)

    def stop(self) -> None:
        self.publish(dict(self._counts))


def _heard(frame: Frame) -> Heard:
    return frame["received"], frame["csi"], frame["noise_variance"]
