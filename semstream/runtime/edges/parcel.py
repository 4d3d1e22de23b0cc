"""Parcel: one frame on its way to one or more edges, in the forms that they take, each made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from semstream.runtime.edges.slots import SHARE_BYTES, Lease, Pool, aligned
from semstream.runtime.frames import handover, wire
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.handover import Offer
from semstream.runtime.frames.types import NAME_OF_DTYPE


class Shared:
    """A frame whose large arrays are in a slot. Who keeps it to send it later holds the lease meanwhile."""

    __slots__ = ("lease", "parcel", "parts")

    def __init__(self, parcel: Parcel, lease: Lease, parts: list[Any]) -> None:
        self.parcel = parcel
        self.lease = lease
        self.parts = parts


Form = Offer | Shared | list[Any]
"""What an edge sends of a frame: the object, a slot, or header and buffers."""


def let_go(form: Form) -> None:
    """A form that was kept to be sent later has been sent, or will not be."""
    if isinstance(form, Shared):
        form.lease.release()


_GAPS_KEY = wire.pack("gaps")


def note_gap(gaps: list[list[Any]], stream: str, first: int, last: int) -> None:
    """Add to the gaps that an edge has still to tell of; what follows on the last one makes it longer."""
    if gaps and gaps[-1][0] == stream and gaps[-1][2] == first - 1:
        gaps[-1][2] = last
    else:
        gaps.append([stream, first, last])
        del gaps[: -wire.MAX_ITEMS // 64]


def with_gaps(header: bytes, gaps: list[list[Any]]) -> bytes:
    """The packed header map with one more entry: cheaper than packing tags and arrays again."""
    return bytes([header[0] + 1]) + header[1:] + _GAPS_KEY + wire.pack(gaps)


class Parcel:
    """A frame that a block gives on one of its ports. `close` it when every edge has its form."""

    __slots__ = ("_offer", "_pack", "_parts", "_shared", "frame", "nbytes")

    def __init__(self, frame: Frame, pack: Callable[[Any], bytes] = wire.pack) -> None:
        self.frame = frame
        self._pack = pack
        self.nbytes = frame.nbytes
        self._offer: Offer | None = None
        self._parts: list[Any] | None = None
        self._shared: Shared | None = None

    @property
    def is_large(self) -> bool:
        """Whether an array is worth a slot."""
        return self.nbytes >= SHARE_BYTES and any(a.nbytes >= SHARE_BYTES for a in self.frame.arrays.values())

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
            parts = self._parts = wire.encode(self.frame, (), self._pack)
        return parts

    def shared(self, pool: Pool) -> Shared | None:
        """For a receiver in another process of this run: large arrays in a slot; None if there is none."""
        if self._shared is None:
            arrays = self.frame.arrays.values()
            lease = pool.lease(sum(aligned(a.nbytes) for a in arrays if a.nbytes >= SHARE_BYTES))
            if lease is not None:
                self._shared = Shared(self, lease, _in_slot(self.frame, lease, self._pack))
        return self._shared

    def close(self) -> None:
        """No further edge asks for a form."""
        if self._shared is not None:
            self._shared.lease.release()
            self._shared = None


def _in_slot(frame: Frame, lease: Lease, pack: Callable[[Any], bytes]) -> list[Any]:
    """Copy the large arrays into the slot; the parts that tell of them."""
    at = 0
    places, described, parts = [], [], [b""]
    for name, array in frame.arrays.items():
        described.append({"name": name, "dtype": NAME_OF_DTYPE[array.dtype], "shape": array.shape})
        if array.nbytes < SHARE_BYTES:
            places.append(-1)
            parts.append(wire.buffer_of(array))
        else:
            places.append(at)
            lease.slot.write(at, array)
            at += aligned(array.nbytes)
    parts[0] = wire.data_header(frame, described, (), pack, slot=lease.place, places=places)
    return parts
