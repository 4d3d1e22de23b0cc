"""Handing a frame to another thread as an object: its arrays are shared, everything else is the receiver's own.

What a receiver gets is what the wire form would have given it: tags as plain values and nobody else's, arrays
read-only in C order, every check made. A frame whose place, tags or trace are more than plain scalars goes through
its packed header for that; the arrays never do.
"""

from __future__ import annotations

import numpy as np

from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.frame import Array, Frame
from semstream.runtime.frames.types import ANY, MAX_ARRAYS, MAX_DIMENSIONS, PortType

MAX_SCALARS = 32
MAX_TEXT = 256
_CONSTANT = frozenset((type(None), bool, float))


class Offer:
    """A frame as its sender has let go of it; several receivers may take it.

    Attributes
    ----------
    frame : Frame
        What the receivers share; nobody writes to it.
    header : bytes
        Packed header, if the frame has something that only packing makes plain; else empty.
    """

    __slots__ = ("frame", "header")

    def __init__(self, frame: Frame, header: bytes) -> None:
        self.frame = frame
        self.header = header


def offer(frame: Frame) -> Offer:
    """Let go of a frame: the sender may change its tags and trace afterwards, but not its arrays.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If a tag is no msgpack value, as `wire.encode` does.
    """
    arrays: dict[str, Array] = {}
    for name, array in frame.arrays.items():
        if array.base is None and type(array) is np.ndarray and array.flags.c_contiguous:
            arrays[name] = array.view()
        else:
            arrays[name] = _settled(array)
    if _is_plain(frame):
        return Offer(Frame(arrays, frame.seq, frame.stream, frame.t0_ns, frame.tags, frame.trace.copy()), b"")
    return Offer(Frame(arrays), wire.data_header(frame, [], ()))


def accept(offered: Offer, port_type: PortType) -> Frame:
    """A frame of the receiver's own.

    Raises
    ------
    WireError
        If anything about it is not as declared; never anything else.
    """
    frame = offered.frame
    arrays = _checked(frame.arrays, port_type)
    if offered.header:
        own = wire.decode([offered.header], ANY).frame
        assert own is not None
        own.arrays = arrays
        return own
    trace = [hop.copy() for hop in frame.trace]
    return Frame(arrays, frame.seq, frame.stream, frame.t0_ns, frame.tags, trace)


def _settled(array: Array) -> Array:
    """A view of the array if nobody is likely to write to its memory any more, else a copy; in C order.

    Large views are shared, as ZeroMQ shares them: copying them would cost more than all else.
    """
    base = array.base
    if array.flags.c_contiguous and type(array) is np.ndarray:
        if array.nbytes >= wire.ZERO_COPY_BYTES:
            return array.view()
        if type(base) is np.ndarray and base.base is None and not base.flags.writeable:
            return array.view()
    settled: Array = np.array(array, order="C")
    settled.flags.writeable = False
    return settled


def _is_plain(frame: Frame) -> bool:
    """Whether packing and unpacking would give the same values: then it need not be done."""
    stream, seq, t0_ns, tags, trace = frame.stream, frame.seq, frame.t0_ns, frame.tags, frame.trace
    if type(stream) is not str or len(stream) > MAX_TEXT or not stream.isascii():
        return False
    if type(seq) is not int or type(t0_ns) is not int or not (0 <= seq <= wire.MAX_SEQ and 0 <= t0_ns <= wire.MAX_SEQ):
        return False
    if type(trace) is not list or len(trace) > wire.MAX_TRACE:
        return False
    for hop in trace:
        if type(hop) is not list or len(hop) != 2 or type(hop[0]) is not str or type(hop[1]) is not int:
            return False
        if not hop[0].isascii() or not 0 <= hop[1] <= wire.MAX_SEQ:
            return False
    if not tags:
        return type(tags) is dict
    if type(tags) is not dict or len(tags) > MAX_SCALARS:
        return False
    return all(type(key) is str and _is_scalar(key) and _is_scalar(value) for key, value in tags.items())


def _is_scalar(value: object) -> bool:
    if isinstance(value, (str, bytes)):
        return len(value) <= MAX_TEXT and (type(value) is bytes or (type(value) is str and value.isascii()))
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) in _CONSTANT


_Described = list[tuple[str, "np.dtype[np.generic]", tuple[int, ...]]]


def _checked(arrays: dict[str, Array], port_type: PortType) -> dict[str, Array]:
    """Read-only views of the arrays, checked as `wire.decode` checks what is described in a header."""
    described: _Described = []
    own: dict[str, Array] = {}
    for name, array in arrays.items():
        own[name] = view = array.view()
        described.append((name, view.dtype, view.shape))
    if described != port_type._handed[0]:  # the frames of a stream mostly look alike
        if len(described) > MAX_ARRAYS:
            raise WireError("field_type", "arrays is not a short list")
        for name, _, shape in described:
            if not isinstance(name, str) or not 0 < len(name) <= 256:
                raise WireError("field_type", "an array's name is not a short string")
            if len(shape) > MAX_DIMENSIONS:
                raise WireError("shape", f"array {name!r}: the shape is not a short list")
        wrong = port_type.mismatch(described)
        if wrong is not None:
            raise WireError(*wrong)
        port_type._handed[0] = described
    return own
