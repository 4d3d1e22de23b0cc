"""Chunks: pieces of a file, each checksummed, so that the file is readable after a crash up to the last whole one.

    kind (4 bytes) | CRC-32 of the body | length of the body in bytes | body

Recordings (`semstream.runtime.frames.recording`) and the journals of runs are made of them.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

MAX_BODY_BYTES = 2**30
HEAD = struct.Struct("<4sIQ")


def as_chunk(kind: bytes, body: bytes) -> bytes:
    """A body as a chunk."""
    return HEAD.pack(kind, zlib.crc32(body), len(body)) + body


def read_chunk(file: BinaryIO, offset: int, size: int) -> tuple[bytes, bytes, int] | None:
    """Kind, body and end of the chunk at an offset of a file of `size` bytes; None if it is not whole."""
    file.seek(offset)
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    kind, checksum, length = HEAD.unpack(head)
    if length > min(MAX_BODY_BYTES, size - offset):
        return None
    body = file.read(length)
    if len(body) < length or zlib.crc32(body) != checksum:
        return None
    return kind, body, offset + HEAD.size + length
