"""Parcel: one frame on its way to one or more edges, in the forms that they take, each made once."""

from __future__ import annotations

from typing import Any

from semstream.runtime.frames import handover, wire
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.handover import Offer


class Parcel:
    """A frame that a block gives on one of its ports."""

    __slots__ = ("_offer", "_parts", "frame", "nbytes")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.nbytes = frame.nbytes
        self._offer: Offer | None = None
        self._parts: list[Any] | None = None

    def offer(self) -> Offer:
        """For a receiver in another thread of this process."""
        offered = self._offer
        if offered is None:
            offered = self._offer = handover.offer(self.frame)
        return offered

    def parts(self) -> list[Any]:
        """For a socket: header and buffers."""
        parts = self._parts
        if parts is None:
            parts = self._parts = wire.encode(self.frame)
        return parts
