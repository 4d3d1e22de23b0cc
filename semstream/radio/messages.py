"""The messages of GNU Radio's ZeroMQ blocks: samples, samples with tags, and PDUs (checked against GNU Radio 3.10.5).

- ``raw``: float32 I and Q in turn, in the machine's order of bytes, with no header.
- ``tagged`` (``pass_tags=True``), little-endian before the samples::

      F0 5F | 01 | u64 offset | u64 count of tags | (u64 absolute offset, PMT key, value, source) a tag | samples

- ``pdu`` (the message blocks): a PMT pair of a dict and a uniform vector.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.radio import pmt
from semstream.radio.errors import RadioError

Samples = NDArray[np.complex64]

_MAGIC = b"\xf0\x5f\x01"
_HEADER = struct.Struct("<3sQQ")
_OFFSET = struct.Struct("<Q")
_SMALLEST_TAG = _OFFSET.size + 3
_SAMPLE = 8


@dataclass(frozen=True, slots=True)
class Tag:
    """A stream tag: what is said of the sample at an offset, counted from the stream's start."""

    offset: int
    key: Any
    value: Any
    source: Any = False


class TaggedSamples(NamedTuple):
    """A message of samples with tags; `offset` is that of the first sample."""

    offset: int
    tags: list[Tag]
    samples: Samples


@dataclass(frozen=True, slots=True)
class Pdu:
    """A protocol data unit: samples (complex64) or bytes (uint8), and what is said of them."""

    data: np.ndarray
    metadata: Mapping[Any, Any] = field(default_factory=dict)


def encode_samples(samples: Samples) -> bytes:
    """Samples (N,) complex64 as a raw message."""
    return np.ascontiguousarray(samples, np.complex64).tobytes()


def decode_samples(data: bytes | memoryview) -> Samples:
    """Samples of a raw message.

    Raises
    ------
    RadioError
        If its length is no multiple of 8.
    """
    if len(data) % _SAMPLE:
        raise RadioError(
            f"a message of {len(data)} bytes, which is no multiple of 8: complex64 samples have 8 each; does the other "
            "end send another type, or tags that were not asked for?"
        )
    return np.frombuffer(data, np.complex64)


def encode_tagged(samples: Samples, tags: Sequence[Tag] = (), offset: int = 0) -> bytes:
    """Samples with tags as a message for a source with ``pass_tags=True``.

    GNU Radio places a tag by the difference of its offset to the message's, which may therefore always be 0.

    Raises
    ------
    RadioError
        If a tag stands before the first sample or behind the last: GNU Radio would put it on another message's.
    """
    out = bytearray(_HEADER.pack(_MAGIC, offset, len(tags)))
    for tag in tags:
        if not offset <= tag.offset < offset + len(samples):
            raise RadioError(f"tag {tag.key!r} at {tag.offset}: the samples are {offset} to {offset + len(samples)}")
        out += _OFFSET.pack(tag.offset) + pmt.encode(tag.key) + pmt.encode(tag.value) + pmt.encode(tag.source)
    return bytes(out) + encode_samples(samples)


def decode_tagged(data: bytes | memoryview) -> TaggedSamples:
    """Samples and tags of a message of a sink with ``pass_tags=True``. Tags may lie outside the samples: see `bursts`.

    Raises
    ------
    RadioError
        If the header is missing or damaged, or the length of the samples is no multiple of 8.
    """
    data = memoryview(data)
    if len(data) < _HEADER.size or data[:3] != _MAGIC:
        raise RadioError("a message without GNU Radio's header of tags; set pass_tags=True there, or mode='raw' here")
    _, offset, count = _HEADER.unpack_from(data)
    if count > (len(data) - _HEADER.size) // _SMALLEST_TAG:
        raise RadioError(f"a header that claims {count} tags in a message of {len(data)} bytes")
    place = _HEADER.size
    tags = []
    for _ in range(count):
        if place + _OFFSET.size > len(data):
            raise RadioError("a header of tags that is cut short")
        at = _OFFSET.unpack_from(data, place)[0]
        key, place = pmt.decode_from(data, place + _OFFSET.size)
        value, place = pmt.decode_from(data, place)
        source, place = pmt.decode_from(data, place)
        tags.append(Tag(at, key, value, source))
    return TaggedSamples(offset, tags, decode_samples(data[place:]))


def encode_pdu(pdu: Pdu) -> bytes:
    """A PDU as a message for GNU Radio's message blocks."""
    return pmt.encode(pmt.Pair(dict(pdu.metadata), pdu.data))


def decode_pdu(data: bytes | memoryview) -> Pdu:
    """The PDU of a message.

    Raises
    ------
    RadioError
        If the message is no PDU of complex64 samples or of bytes.
    """
    value = pmt.decode(data)
    if not isinstance(value, pmt.Pair) or not isinstance(value.first, dict | None):
        raise RadioError(f"a message that is no PDU, a pair of dict and vector, but {type(value).__name__}")
    if not isinstance(value.rest, np.ndarray) or value.rest.dtype not in (np.complex64, np.uint8):
        what = value.rest.dtype if isinstance(value.rest, np.ndarray) else type(value.rest).__name__
        raise RadioError(f"a PDU of {what}; expected complex64 samples or uint8 bytes")
    return Pdu(value.rest, value.first or {})
