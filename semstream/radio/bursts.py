"""Bursts: where the samples of a frame lie in a stream, and how they are found again behind a GNU Radio.

In a stream that never ends, a burst is told by where it begins: by a count of samples (``raw``) or by stream tags at
its first sample (``tagged``). A PDU is a burst of its own (``pdu``).

=================  ==================================================================================
key of tag or PDU  value
=================  ==================================================================================
``burst``          number of the burst
``packet_len``     its samples (tags only; a PDU has a length)
``frame``          bytes that ride along, where there are any
``end``            true: no burst follows
=================  ==================================================================================

GNU Radio's channel model is early against tags and counts (``advance``: its output i is input i + 3, so that the first
3 samples of a run are lost) and holds its last samples back (``flush``: 11 of them). So a run begins with a lead-in of
zeros, and zeros follow each burst to push it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from semstream.radio.errors import RadioError
from semstream.radio.messages import Pdu, Samples, Tag, encode_pdu, encode_samples, encode_tagged

Mode = Literal["raw", "tagged", "pdu"]
CHUNK = 8192
"""Most samples in one message of a stream: what fits into GNU Radio's buffers goes on at once."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Received samples (N,) of one burst; `missing` of them never came and are 0, as `present` (N,) says."""

    number: int
    samples: Samples
    present: np.ndarray
    header: bytes = b""

    @property
    def missing(self) -> int:
        """Samples that never came."""
        return int(self.present.size - np.count_nonzero(self.present))


@dataclass(frozen=True, slots=True)
class Layout:
    """How bursts lie in a stream.

    Parameters
    ----------
    advance
        Samples by which the other end's output is early against tags and counts; 3 for GNU Radio's channel model.
    flush
        Zeros behind each burst that push it out of the other end; at least 11 for the channel model.
    longest
        Most samples in a burst; what claims more is not believed.
    """

    advance: int = 3
    flush: int = 16
    longest: int = 2**20

    def zeros(self, mode: Mode) -> int:
        """Zeros that go on the air with each burst: those that push it out, and the lead-in that a PDU has."""
        return self.flush + (self.advance if mode == "pdu" else 0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a burst was put: its number, the count of samples sent before it, and its own samples."""

    number: int
    start: int
    count: int


class BurstWriter:
    """Makes the messages of bursts, in one of the three modes."""

    def __init__(self, mode: Mode, layout: Layout) -> None:
        self.mode = mode
        self.layout = layout
        self.sent = 0

    def opening(self) -> list[bytes]:
        """Messages before the first burst: the lead-in that the other end's advance swallows."""
        if self.mode == "pdu" or not self.layout.advance:
            return []  # a PDU has a lead-in of its own
        return self._stream(np.zeros(max(16, self.layout.advance), np.complex64), {})

    def burst(self, number: int, samples: Samples, header: bytes = b"") -> tuple[Place, list[bytes]]:
        """Messages of one burst.

        Raises
        ------
        RadioError
            If it has no samples, or more than the layout allows.
        """
        count = samples.size
        if not 0 < count <= self.layout.longest:
            raise RadioError(f"burst {number}: expected 1 to {self.layout.longest} samples, got {count}")
        facts: dict[str, Any] = {"burst": number}
        if header:
            facts["frame"] = np.frombuffer(header, np.uint8)
        place = Place(number, self.sent, count)
        if self.mode == "pdu":
            lead = np.zeros(self.layout.advance, np.complex64)
            self.sent += lead.size + count
            return place, [encode_pdu(Pdu(np.concatenate([lead, samples]), facts)), *self.filler(self.layout.flush)]
        zeros = np.zeros(self.layout.flush, np.complex64)
        return place, self._stream(np.concatenate([samples, zeros]), facts | {"packet_len": count})

    def filler(self, count: int) -> list[bytes]:
        """Messages of so many zeros that belong to no burst."""
        if self.mode != "pdu":
            return self._stream(np.zeros(count, np.complex64), {})
        self.sent += count
        sizes = [min(self.layout.longest, count - done) for done in range(0, count, self.layout.longest)]
        return [encode_pdu(Pdu(np.zeros(size, np.complex64), {"filler": True})) for size in sizes]

    def ending(self) -> list[bytes]:
        """Messages behind the last burst, which say so where the mode can."""
        zeros = np.zeros(self.layout.flush + self.layout.advance + 1, np.complex64)
        if self.mode == "pdu":
            return [encode_pdu(Pdu(zeros, {"end": True})), *self.filler(self.layout.flush)]
        return self._stream(zeros, {"end": True}) + self.filler(self.layout.flush)

    def _stream(self, samples: Samples, facts: dict[str, Any]) -> list[bytes]:
        begin = self.sent
        self.sent += samples.size
        chunks = [(at, samples[at : at + CHUNK]) for at in range(0, samples.size, CHUNK)]
        if self.mode == "raw":
            return [encode_samples(chunk) for _, chunk in chunks]
        tags = [Tag(begin, key, value) for key, value in facts.items()]
        return [encode_tagged(chunk, [] if at else tags, begin + at) for at, chunk in chunks]
