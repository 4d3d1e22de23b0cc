"""Wire form: one msgpack header, then one raw buffer an array. Nothing is pickled, everything is checked before use.

    | header {v, kind, stream, seq, t0_ns, tags, trace, arrays: [{name, dtype, shape}]} | array 0 | array 1 | ...

Kinds: `data` and `gap` (frames that will not come) flow with credit; `eos`, `error` and `hello` without; `credit`,
`ack` and `bye` flow the other way. `gaps`: [[stream, first, last], ...] also rides on `data`, so that a dropped or
skipped frame makes no join and no reordering wait. Array bytes are little-endian, C order.

Between processes of one run, `share` tells where a sender's memory is, and whether a receiver has found it. Then `slot`
in a `data` header names a piece of it, and `places` has an offset there for each array, or -1 for one that has a part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgpack
import numpy as np

from semstream.runtime.errors import WireError
from semstream.runtime.frames.frame import Array, Frame
from semstream.runtime.frames.types import DTYPES, MAX_ARRAYS, MAX_DIMENSIONS, NAME_OF_DTYPE, PortType

VERSION = 1
KINDS = frozenset(("data", "gap", "eos", "error", "hello", "credit", "bye", "ping", "share", "ack"))
MAX_HEADER_BYTES = 2**20
MAX_ITEMS = 2**16
MAX_TRACE = 1024
MAX_SEQ = 2**63 - 1
MAX_CREDIT = 4096
MAX_NESTING = 200
"""Deepest that lists and maps may be nested: what is taken must be such as can be packed again, and shown."""
ZERO_COPY_BYTES = 65536
"""Buffers of this size and more are handed to ZeroMQ without a copy; below, the copy costs less than the tracking."""

Gap = tuple[str, int, int]
"""(stream, first seq, last seq) that will not come."""
_Checked = tuple[str, np.dtype[Any], tuple[int, ...], int]
"""Name, dtype, shape and bytes of an array that is as declared."""


class Slots(Protocol):
    """Where a receiver finds what a sender has put into shared memory."""

    def root(self, place: Any) -> Array:
        """All bytes of a slot, read-only; `WireError` if there is none there."""


@dataclass(slots=True)
class Message:
    """A checked message. `fields` holds what only control kinds carry."""

    kind: str
    frame: Frame | None = None
    gaps: list[Gap] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)


def plain(value: Any) -> Any:
    """Turn NumPy scalars and small arrays, tuples and sets into msgpack values (hook of the packer)."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.size <= MAX_ITEMS:
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not a small value (None, bool, int, float, str, bytes, list, dict)")


def packer() -> Callable[[Any], bytes]:
    """A `pack` for one thread, which keeps its buffer: making a new one takes as long as packing a header."""
    pack_one: Callable[[Any], bytes] = msgpack.Packer(default=plain, use_bin_type=True).pack
    return pack_one


def pack(value: Any) -> bytes:
    """Pack a small value as msgpack.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If it holds something that msgpack has no form for.
    """
    packed: bytes = msgpack.packb(value, default=plain, use_bin_type=True)
    return packed


def unpack(data: bytes | memoryview, limit: int = MAX_HEADER_BYTES) -> Any:
    """Unpack msgpack from outside under limits.

    Raises
    ------
    WireError
        If it is too long or no msgpack.
    """
    size = len(data)
    if size > limit:
        raise WireError("header_too_long", f"{size} bytes, the limit is {limit}")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=0,
            ext_hook=_no_extension,
        )
    except Exception as error:  # msgpack raises many kinds on garbage
        raise WireError("not_msgpack", str(error)) from error
    if size > MAX_NESTING and is_deeper(value, MAX_NESTING):  # each level takes a byte
        raise WireError("nested", f"lists and maps are nested more than {MAX_NESTING} deep")
    return value


def is_deeper(value: Any, limit: int) -> bool:
    """Whether lists and maps in a plain value are nested more than `limit` deep."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(limit):
        if not level:
            return False
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) in _CONTAINERS
        ]
    return bool(level)


_CONTAINERS = frozenset((list, dict, tuple))


def _no_extension(code: int, _: bytes) -> Any:
    raise ValueError(f"an extension type ({code}), of which there are none here")


def encode(frame: Frame, gaps: Sequence[Gap] = (), pack: Callable[[Any], bytes] = pack) -> list[Any]:
    """Message parts of a frame: header bytes, then one contiguous buffer an array (no copy of contiguous arrays).

    Raises
    ------
    TypeError
        If a tag is no msgpack value or an array's dtype has no wire form.
    """
    described = []
    parts: list[Any] = [b""]
    for name, array in frame.arrays.items():
        dtype = NAME_OF_DTYPE.get(array.dtype)
        if dtype is None:
            raise TypeError(f"array {name!r} of dtype {array.dtype} has no wire form; use one of {', '.join(DTYPES)}")
        described.append({"name": name, "dtype": dtype, "shape": array.shape})
        parts.append(buffer_of(array))
    parts[0] = data_header(frame, described, gaps, pack)
    return parts


def data_header(
    frame: Frame,
    described: list[dict[str, Any]],
    gaps: Sequence[Gap],
    pack: Callable[[Any], bytes] = pack,
    **more: Any,
) -> bytes:
    """Header of a data message."""
    header = {
        "v": VERSION,
        "kind": "data",
        "stream": frame.stream,
        "seq": frame.seq,
        "t0_ns": frame.t0_ns,
        "tags": frame.tags,
        "trace": frame.trace,
        "arrays": described,
        **more,
    }
    if gaps:
        header["gaps"] = gaps
    packed = pack(header)
    if len(packed) > MAX_HEADER_BYTES:
        raise TypeError(f"tags and trace take {len(packed)} bytes, the limit is {MAX_HEADER_BYTES}: send an array")
    return packed


def buffer_of(array: Array) -> Any:
    """The array's bytes: itself as bytes if small, else a read-only flat view that ZeroMQ can hold on to."""
    if sys.byteorder == "big":  # pragma: no cover
        array = array.astype(array.dtype.newbyteorder("<"))
    if array.nbytes < ZERO_COPY_BYTES:
        return array.tobytes()
    flat: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(flat)


def control(kind: str, **fields: Any) -> bytes:
    """Header of a control message."""
    return pack({"v": VERSION, "kind": kind, **fields})


def decode(parts: Sequence[Any], port_type: PortType, slots: Slots | None = None) -> Message:
    """Check a message and make it a `Message`.

    Parameters
    ----------
    parts
        Header and array buffers (bytes or memoryviews), untrusted.
    port_type
        What the receiving port takes, with its limits.
    slots
        Shared memory of the sender, if it is of the same run.

    Raises
    ------
    WireError
        If anything about it is not as declared; never anything else.
    """
    if not parts:
        raise WireError("part_count", "no header")
    header = unpack(parts[0])
    if type(header) is not dict:
        raise WireError("not_a_map", f"the header is a {type(header).__name__}")
    get = header.get
    version = get("v")
    if type(version) is not int or version != VERSION:
        raise WireError("version", f"expected version {VERSION}, got {str(version)[:40]}")
    kind = get("kind")
    if type(kind) is not str or kind not in KINDS:
        raise WireError("kind", f"unknown kind {str(kind)[:40]!r}")
    raw_gaps = get("gaps")
    gaps = _gaps(raw_gaps) if raw_gaps is not None else []
    if kind != "data":
        if len(parts) != 1:
            raise WireError("part_count", f"a {kind} message has one part, got {len(parts)}")
        return Message(kind, None, gaps, header)
    stream: Any = get("stream")
    seq: Any = get("seq")
    t0_ns: Any = get("t0_ns")
    tags: Any = get("tags")
    trace: Any = get("trace")
    check_place(stream, seq, t0_ns)
    check_tags(tags)
    check_trace(trace)
    slot = get("slot")
    if slot is None:
        arrays = _arrays(get("arrays"), parts, port_type)
    else:
        arrays = _shared_arrays(get("arrays"), parts, port_type, slot, get("places"), slots)
    return Message("data", Frame(arrays, seq, stream, t0_ns, tags, trace), gaps)


def check_place(stream: Any, seq: Any, t0_ns: Any) -> None:
    """Refuse what is no place in a stream.

    Raises
    ------
    WireError
        Naming the field.
    """
    if type(stream) is not str or len(stream) > 256:
        raise WireError("field_type", "stream is not a short string")
    if type(seq) is not int or not 0 <= seq <= MAX_SEQ:
        raise WireError("field_type", "seq is not an integer from 0 to 2**63 - 1")
    if type(t0_ns) is not int or not 0 <= t0_ns <= MAX_SEQ:
        raise WireError("field_type", "t0_ns is not an integer from 0 to 2**63 - 1")


def check_tags(tags: Any) -> None:
    """Refuse what is no map with string keys (`WireError`)."""
    if type(tags) is not dict or not all(type(key) is str for key in tags):
        raise WireError("tags", "tags are not a map with string keys")


def check_trace(trace: Any) -> None:
    """Refuse what is no short list of [name, time] (`WireError`)."""
    if type(trace) is not list or len(trace) > MAX_TRACE:
        raise WireError("trace", "trace is not a short list")
    for hop in trace:
        if type(hop) is not list or len(hop) != 2 or type(hop[0]) is not str or type(hop[1]) is not int:
            raise WireError("trace", "a hop is not [name, time]")


def _arrays(described: Any, parts: Sequence[Any], port_type: PortType) -> dict[str, Array]:
    checked = _checked(described, len(parts), port_type)
    return {entry[0]: _array(entry, part) for entry, part in zip(checked, parts[1:], strict=True)}


def _shared_arrays(
    described: Any, parts: Sequence[Any], port_type: PortType, slot: Any, places: Any, slots: Slots | None
) -> dict[str, Array]:
    if slots is None:
        raise WireError("slot", "a slot on an edge that shares no memory")
    if type(places) is not list or not all(type(place) is int for place in places):
        raise WireError("slot", "places are not a list of integers")
    checked = _checked(described, len(places) + 1, port_type)
    if places.count(-1) != len(parts) - 1:
        raise WireError("part_count", f"{places.count(-1)} arrays outside of the slot, {len(parts) - 1} sent")
    root = slots.root(slot)
    arrays: dict[str, Array] = {}
    following = iter(parts[1:])
    for entry, place in zip(checked, places, strict=True):
        name, dtype, _, expected = entry
        if place == -1:
            arrays[name] = _array(entry, next(following))
            continue
        if not 0 <= place <= len(root) - expected or place % dtype.itemsize:
            raise WireError("slot", f"array {name!r}: {expected} bytes at {place} of a slot of {len(root)}")
        arrays[name] = _array(entry, root[place : place + expected])
    return arrays


def _array(entry: _Checked, part: Any) -> Array:
    name, dtype, dimensions, expected = entry
    if len(part) != expected:
        raise WireError("byte_count", f"array {name!r}: expected {expected} bytes, got {len(part)}")
    if sys.byteorder == "big":  # pragma: no cover
        part = np.frombuffer(part, dtype.newbyteorder("<")).astype(dtype).tobytes()
    try:
        array: Array = np.ndarray(dimensions, dtype, part) if expected else np.zeros(dimensions, dtype)
    except (ValueError, OverflowError, MemoryError, TypeError) as error:
        raise WireError("shape", f"array {name!r}: {error}") from error
    array.flags.writeable = False
    return array


def _checked(described: Any, part_count: int, port_type: PortType) -> list[_Checked]:
    seen = port_type._seen[0]
    if seen is not None and seen[0] == described:  # equal to what was checked; the checked values are what is used
        checked: list[_Checked] = seen[1]
        if part_count != len(checked) + 1:
            raise WireError("part_count", f"{len(checked)} arrays declared, {part_count - 1} sent")
    else:
        checked = _check_described(described, part_count, port_type)
        port_type._seen[0] = (described, checked)
    return checked


def _check_described(described: Any, part_count: int, port_type: PortType) -> list[_Checked]:
    if type(described) is not list or len(described) > MAX_ARRAYS:
        raise WireError("field_type", "arrays is not a short list")
    if part_count != len(described) + 1:
        raise WireError("part_count", f"{len(described)} arrays declared, {part_count - 1} sent")
    checked: list[_Checked] = []
    for item in described:
        if type(item) is not dict or len(item) != 3:
            raise WireError("field_type", "an array is not {name, dtype, shape}")
        name, dtype_name, shape = item.get("name"), item.get("dtype"), item.get("shape")
        if type(name) is not str or not 0 < len(name) <= 256:
            raise WireError("field_type", "an array's name is not a short string")
        dtype = DTYPES.get(dtype_name) if type(dtype_name) is str else None
        if dtype is None:
            raise WireError("dtype", f"array {name!r} of dtype {str(dtype_name)[:40]!r}")
        if type(shape) is not list or len(shape) > MAX_DIMENSIONS:
            raise WireError("shape", f"array {name!r}: the shape is not a short list")
        nbytes = dtype.itemsize
        for size in shape:
            if type(size) is not int or not 0 <= size <= MAX_SEQ:
                raise WireError("shape", f"array {name!r}: a size is not an integer from 0")
            nbytes *= size
        if any(name == other[0] for other in checked):
            raise WireError("duplicate_array", f"array {name!r} twice")
        checked.append((name, dtype, tuple(shape), nbytes))
    wrong = port_type.mismatch([entry[:3] for entry in checked])
    if wrong is not None:
        raise WireError(*wrong)
    return checked


def _gaps(value: Any) -> list[Gap]:
    if type(value) is not list or len(value) > MAX_ITEMS:
        raise WireError("gaps", "gaps are not a short list")
    gaps: list[Gap] = []
    for item in value:
        if type(item) is not list or len(item) != 3:
            raise WireError("gaps", "a gap is not [stream, first, last]")
        stream, first, last = item
        if type(stream) is not str or type(first) is not int or type(last) is not int or not 0 <= first <= last:
            raise WireError("gaps", "a gap is not [stream, first, last]")
        if last > MAX_SEQ or len(stream) > 256:
            raise WireError("gaps", "a gap is out of range")
        gaps.append((stream, first, last))
    return gaps
