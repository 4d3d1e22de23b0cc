"""What rides on the messages of an edge whose receiver may lose its connection and come back.

    sender                                                     receiver
      <-- hello {session, received: 0, granted: 2, now} -------
      --- header | arrays | number 1, now, held, clock ------->
      <-- credit {n: 1} | received 1, now --------------------   1 need not be kept any more
      --- header | arrays | number 2, ... -----X   cut
      <-- hello {session, received: 1, granted: 3, now} -------   over the next connection
      --- header | arrays | number 2, ... -------------------->   a live edge says instead that 2 will not come

What ends a run at once (bye, error) has no number, nor has a ping.
"""

from __future__ import annotations

import struct

from semstream.runtime.errors import WireError

_HOP = struct.Struct("<QQQQ")
_RECEIVED = struct.Struct("<QQ")
MOST_NS = 2**62


def pack_hop(number: int, echo_ns: int, held_ns: int, clock_ns: int) -> bytes:
    """Last part of a numbered message: its number, the receiver's time as it last came, how long ago that was, and the
    sender's Unix time."""
    return _HOP.pack(number, echo_ns, held_ns, clock_ns)


def unpack_hop(part: object) -> tuple[int, int, int, int]:
    """Inverse of `pack_hop` (`WireError`)."""
    number, echo_ns, held_ns, clock_ns = _unpacked(_HOP, part, "hop")
    return number, echo_ns, held_ns, clock_ns


def pack_received(number: int, now_ns: int) -> bytes:
    """Part behind a credit: the last number that has come, and the receiver's time."""
    return _RECEIVED.pack(number, now_ns)


def unpack_received(part: object) -> tuple[int, int]:
    """Inverse of `pack_received` (`WireError`)."""
    number, now_ns = _unpacked(_RECEIVED, part, "received")
    return number, now_ns


def _unpacked(form: struct.Struct, part: object, name: str) -> tuple[int, ...]:
    if not isinstance(part, (bytes, memoryview)) or len(part) != form.size:
        raise WireError(name, f"expected {form.size} bytes of numbers behind the message")
    values = form.unpack(part)
    if max(values) > MOST_NS:
        raise WireError(name, "a number or a time is out of range")
    return values
