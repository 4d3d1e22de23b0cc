"""Sending end of a durable edge, which keeps what its receivers have not acknowledged.

What a hello is stands in `semstream.runtime.durable.resuming`; besides::

           --- what is kept for it, in order ---->
           <-- ack {frames, gaps} ---------------  ranges by stream; they need not be kept
"""

from __future__ import annotations

from collections import deque
from typing import Any

from semstream.runtime.durable.ledger import Key, Unit
from semstream.runtime.durable.resuming import ResumingSender
from semstream.runtime.edges.parcel import Parcel
from semstream.runtime.errors import BlockError, WireError
from semstream.runtime.frames import handover, wire
from semstream.runtime.frames.frame import Frame

MOST_BYTES = 2**28
"""Bytes that one edge keeps, beside the number of frames that the graph allows."""


class Kept:
    """A frame or a gap that has not been acknowledged."""

    __slots__ = ("frame", "receiver", "unit")

    def __init__(self, unit: Unit | None, frame: Frame | None) -> None:
        self.unit = unit
        self.frame = frame
        self.receiver = ""


class DurableSender(ResumingSender):
    """A sender that keeps what its receivers have not acknowledged."""

    def __init__(self, *arguments: Any) -> None:
        self._kept: dict[Key, Kept] = {}
        self._unsent: deque[Key] = deque()
        self._again: dict[str, deque[Key]] = {}
        self._nodes: dict[str, str] = {}
        self._last: tuple[int, Key] | None = None
        self._bytes = 0
        super().__init__(*arguments)

    def __len__(self) -> int:
        """Frames and gaps that are kept."""
        return len(self._kept)

    @property
    def ready(self) -> bool:
        """Whether a frame given now is sent without waiting."""
        if self.discarding or self.over:
            return True
        if self.total <= 0 or self._unsent or len(self._kept) >= self._most or self._bytes >= MOST_BYTES:
            return False
        return not self._again or self._free() is not None

    @property
    def settled(self) -> bool:
        """Whether all is acknowledged."""
        return self.discarding or self.over or (not self._kept and super().settled)

    def give(self, parcel: Parcel) -> None:
        """Keep a frame, and send it; needs `ready` first."""
        if self.discarding:
            self.counters.drops[f"{self.spec.edge}: receiver gone"] += 1
            return
        frame = parcel.frame
        key = (frame.stream, frame.seq)
        number = self._ledger.current.number if self._ledger.current is not None else 0
        if self._last == (number, key):
            raise BlockError(
                f"block {self.block!r}, port {self.spec.port!r} gives several frames of number {frame.seq} over a "
                "durable edge, which knows frames by their numbers; set renumber = True in the block's class, or "
                "connect it with durable=False"
            )
        self._last = (number, key)
        if self.over:
            return
        arrays = handover.offer(frame).frame.arrays
        own = Frame(arrays, frame.seq, frame.stream, frame.t0_ns, frame.tags, list(frame.trace))
        self._kept[key] = Kept(self._ledger.owe(), own)
        self._bytes += own.nbytes
        identity = self._free()
        if identity is None or self._unsent:
            self._unsent.append(key)
            self.flush()
        else:
            self._send_kept(identity, self._kept[key], parcel)

    def give_gap(self, stream: str, first: int, last: int) -> None:
        """Keep a gap, and send it in its turn; never waits."""
        key = (stream, first, last)
        if self.discarding or self.over or key in self._kept:
            return
        self._kept[key] = Kept(self._ledger.owe(), None)
        self._unsent.append(key)
        self.flush()

    def flush(self) -> None:
        """Send what credit allows: first to each receiver what it has to get again."""
        for receiver in list(self._again):
            identity, keys = self._identity_of.get(receiver), self._again[receiver]
            while keys and identity is not None and self.credit.get(identity, 0) > 0:
                self._send_key(identity, keys.popleft())
            if not keys and self._again.get(receiver) is keys:
                del self._again[receiver]
        while self._unsent:
            identity = self._free()
            if identity is None:
                break
            self._send_key(identity, self._unsent.popleft())
        self.counters.queue[f"{self.spec.edge} (kept)"] = len(self._kept)

    def on_readable(self) -> None:
        """Take credit, hellos and acknowledgements."""
        super().on_readable()
        if self._unsent or self._again:
            self.flush()

    def on_finished(self, node: str) -> None:
        """A receiver of this run has ended in order: it has all that was sent to it."""
        super().on_finished(node)
        for key in [k for k, kept in self._kept.items() if self.over or self._nodes.get(kept.receiver) == node]:
            self._settle(key)
        if self.over:
            self._unsent.clear()
            self._again.clear()

    def _on_message(self, identity: bytes, message: wire.Message) -> None:
        fields = message.fields
        if message.kind == "hello" and fields.get("durable") is not True:
            text = f"block {self.block!r}, port {self.spec.port!r} is durable: dial it with durable=True"
            self._raw_send(identity, wire.control("error", text=text, block=self.block))
            raise WireError("hello_durable", text)
        super()._on_message(identity, message)

    def _more_facts(self) -> dict[str, Any]:
        return {**super()._more_facts(), "durable": True}

    def _waiting_for(self, receiver: str) -> str:
        return f"; {len(self._kept)} frames were kept for it"

    def _admit(self, identity: bytes, node: str, count: int) -> None:
        super()._admit(identity, node, count)
        receiver = self._receiver_of[identity]
        self._nodes[receiver] = node
        again = deque(key for key, kept in self._kept.items() if kept.receiver == receiver)
        if again:
            self._again[receiver] = again
        else:
            self._again.pop(receiver, None)
        self.flush()
        self._tell_end(identity)

    def _on_ack(self, identity: bytes, fields: dict[str, Any]) -> None:
        kept = self._kept
        for stream, first, last in _ranges(fields.get("frames")):
            if last - first > len(kept):
                for key in [k for k in kept if len(k) == 2 and k[0] == stream and first <= k[1] <= last]:
                    self._settle(key)
            else:
                for seq in range(first, last + 1):
                    self._settle((stream, seq))
        for gap in _ranges(fields.get("gaps")):
            self._settle(gap)
        if type(fields.get("now")) is int:
            self._raw_send(identity, wire.control("ping", echo=fields["now"]))
        super()._on_ack(identity, fields)

    def _settle(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.frame.nbytes if kept.frame is not None else 0
            self._ledger.settle(kept.unit)

    def _free(self) -> bytes | None:
        """A receiver with credit that need not get anything again first."""
        again = self._again
        best, most = None, 0
        for identity, count in self.credit.items():
            if count > most and not (again and self._receiver_of[identity] in again):
                best, most = identity, count
        return best

    def _send_key(self, identity: bytes, key: Key) -> None:
        kept = self._kept.get(key)
        if kept is not None:  # else it was acknowledged meanwhile
            self._send_kept(identity, kept, None, key)

    def _send_kept(self, identity: bytes, kept: Kept, parcel: Parcel | None, key: Key | None = None) -> None:
        kept.receiver = self._receiver_of[identity]
        if kept.frame is None:
            assert key is not None
            self._transmit([wire.control("gap", gaps=[list(key)])], 0, identity)
            return
        given = parcel if parcel is not None else Parcel(kept.frame)
        try:
            self._transmit(self._form(given), given.nbytes, identity)
        finally:
            if parcel is None:
                given.close()

    def _discard(self) -> None:
        super()._discard()
        self._ledger.abandoned = True
        self._kept.clear()
        self._unsent.clear()
        self._again.clear()


def _ranges(value: Any) -> list[tuple[str, int, int]]:
    if value is None:
        return []
    if type(value) is not list or len(value) > wire.MAX_ITEMS:
        raise WireError("ack", "acknowledgements are not a short list")
    ranges = []
    for item in value:
        if type(item) is not list or [type(part) for part in item] != [str, int, int] or not 0 <= item[1] <= item[2]:
            raise WireError("ack", "an acknowledgement is not [stream, first, last]")
        ranges.append((item[0], item[1], item[2]))
    return ranges
