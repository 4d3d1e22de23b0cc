"""Recordings: frames of one edge in one file, in their wire form, readable after a crash up to the last whole frame.

    magic | header | frame | frame | ... | index | offset of the index, magic

Header, frames and index are chunks (`semstream.runtime.frames.chunks`). A frame's body is the time in ns since the
first, the number of its parts, their lengths, and the parts as `wire.encode` gives them. The index, a uint64 an offset,
is written when a recording is closed; without it (a crash, a full disk, a cut) reading scans.
"""

from __future__ import annotations

import os
import struct
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from semstream.runtime.errors import SemstreamError, WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.chunks import as_chunk, read_chunk
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.types import ANY, PortType

MAGIC = b"SEMSREC1"
END_MAGIC = b"SEMSEND1"
MAX_PARTS = 64
_FRAME = struct.Struct("<QI")
_TAIL = struct.Struct("<Q8s")


class RecordingError(SemstreamError):
    """A recording that cannot be written or read: names the file, and the way out."""


class Recorded(NamedTuple):
    """One frame of a recording, and when it was recorded, in ns since the first."""

    at_ns: int
    frame: Frame


class RecordingWriter:
    """Writes a recording.

    Parameters
    ----------
    path
        File to write; it must not exist unless `overwrite`.
    port_type
        Type of what is recorded, for readers.
    facts
        Small values to keep with it: flowgraph, edge, seed.

    Raises
    ------
    RecordingError
        If the file exists or cannot be made.
    """

    def __init__(
        self, path: Path, port_type: PortType = ANY, facts: dict[str, Any] | None = None, overwrite: bool = False
    ) -> None:
        self.path = path
        self.count = 0
        self._offsets = array("Q")  # eight bytes a frame: a day has millions
        self._begun_ns = -1
        try:
            if path.exists() and not overwrite:
                raise RecordingError(f"recording {path}: the file exists; name another, or allow to overwrite it")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("wb")
        except OSError as error:
            raise RecordingError(f"recording {path}: cannot be made ({error.strerror or error})") from None
        header = {"v": 1, "type": port_type.describe(), "created": time.time(), **(facts or {})}
        self._write(MAGIC + as_chunk(b"HEAD", wire.pack(header)))

    @classmethod
    def resume(cls, path: Path, size: int) -> RecordingWriter:
        """Go on with a recording whose writer has died.

        Parameters
        ----------
        size
            Bytes of it that count; what comes after them is cut off.

        Raises
        ------
        RecordingError
            If it is not there, shorter than that, or no recording.
        """
        try:
            with path.open("r+b") as file:
                if os.fstat(file.fileno()).st_size < size:
                    raise RecordingError(f"recording {path}: expected at least {size} bytes, and it is shorter")
                file.truncate(size)
            with RecordingReader(path) as reader:
                offsets = reader.offsets
                begun_ns = time.monotonic_ns() - (reader.read(len(offsets) - 1).at_ns if offsets else 0)
            writer = cls.__new__(cls)
            writer.path, writer.count, writer._offsets = path, len(offsets), offsets
            writer._begun_ns = begun_ns if offsets else -1
            writer._file = path.open("ab")
        except OSError as error:
            raise RecordingError(f"recording {path}: cannot be gone on with ({error.strerror or error})") from None
        return writer

    @property
    def size(self) -> int:
        """Bytes that are in the file."""
        return self._file.tell()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._file.closed

    def add(self, frame: Frame) -> None:
        """Append one frame.

        Raises
        ------
        RecordingError
            If the disk is full or has failed; what was whole before stays readable.
        """
        now = time.monotonic_ns()
        if self._begun_ns < 0:
            self._begun_ns = now
        parts = [bytes(part) for part in wire.encode(frame)]
        lengths = struct.pack(f"<{len(parts)}Q", *map(len, parts))
        offset = self._file.tell()
        self._write(as_chunk(b"FRAM", _FRAME.pack(now - self._begun_ns, len(parts)) + lengths + b"".join(parts)))
        self._offsets.append(offset)
        self.count += 1

    def close(self) -> None:
        """Write the index and close the file.

        Raises
        ------
        RecordingError
            If the disk is full; the frames stay readable.
        """
        if self._file.closed:
            return
        try:
            at = self._file.tell()
            index = np.array(self._offsets, "<u8").tobytes()
            self._write(as_chunk(b"INDX", index) + _TAIL.pack(at, END_MAGIC))
        finally:
            self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()  # a crash of this process then loses at most the frame at hand
        except OSError as error:
            raise RecordingError(
                f"recording {self.path}: cannot be written ({error.strerror or error}); {self.count} frames are in it"
            ) from None


class RecordingReader:
    """Reads a recording, whole or cut short.

    Raises
    ------
    RecordingError
        If the file cannot be opened or is no recording.

    Attributes
    ----------
    facts : dict
        What the writer kept with it.
    port_type : PortType
        Type of the frames.
    offsets : array of int
        Where each whole frame begins.
    lost_bytes : int
        Bytes after the last whole frame that could not be read; 0 if the recording was closed properly.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
            self._size = os.fstat(self._file.fileno()).st_size
            magic = self._file.read(len(MAGIC))
        except OSError as error:
            raise RecordingError(f"recording {path}: cannot be opened ({error.strerror or error})") from None
        self.lost_bytes = 0
        try:
            if magic != MAGIC:
                raise RecordingError(f"recording {path}: this is no recording of semstream")
            head = self._read_chunk(len(MAGIC))
            if head is None or head[0] != b"HEAD":
                raise RecordingError(f"recording {path}: cut short before its first frame")
            header = wire.unpack(head[1])
            self.port_type = PortType.from_description(header.pop("type"))
            self.facts: dict[str, Any] = header
            self._first = head[2]
            self.offsets = self._indexed() or self._scanned()
        except (WireError, ValueError, KeyError, AttributeError) as error:
            self._file.close()
            raise RecordingError(f"recording {path}: its header cannot be read ({error})") from None
        except RecordingError:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self.offsets)

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Recorded]:
        for number in range(len(self.offsets)):
            yield self.read(number)

    def read(self, number: int) -> Recorded:
        """Frame `number` of the recording.

        Raises
        ------
        RecordingError
            If it is damaged.
        """
        chunk = self._read_chunk(self.offsets[number])
        if chunk is None or chunk[0] != b"FRAM":
            raise RecordingError(f"recording {self.path}: frame {number} is damaged")
        body = memoryview(chunk[1])
        try:
            at_ns, count = _FRAME.unpack_from(body)
            if count > MAX_PARTS:
                raise WireError("part_count", f"{count} parts")
            lengths = struct.unpack_from(f"<{count}Q", body, _FRAME.size)
            place = _FRAME.size + 8 * count
            parts = []
            for length in lengths:
                parts.append(bytes(body[place : place + length]))
                place += length
            message = wire.decode(parts, self.port_type)
        except (WireError, struct.error) as error:
            raise RecordingError(f"recording {self.path}: frame {number} is damaged ({error})") from None
        if message.frame is None:
            raise RecordingError(f"recording {self.path}: frame {number} is no frame")
        return Recorded(at_ns, message.frame)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_chunk(self, offset: int) -> tuple[bytes, bytes, int] | None:
        return read_chunk(self._file, offset, self._size)

    def _indexed(self) -> array[int]:
        """Offsets from the index; none if there is no whole one."""
        if self._size < self._first + _TAIL.size:
            return array("Q")
        self._file.seek(self._size - _TAIL.size)
        at, magic = _TAIL.unpack(self._file.read(_TAIL.size))
        chunk = self._read_chunk(at) if magic == END_MAGIC and at < self._size else None
        if chunk is None or chunk[0] != b"INDX" or len(chunk[1]) % 8:
            return array("Q")
        offsets = array("Q", np.frombuffer(chunk[1], "<u8").astype(np.uint64).tobytes())
        return offsets if all(self._first <= offset < at for offset in offsets) else array("Q")

    def _scanned(self) -> array[int]:
        """Offsets of the whole frames from the start."""
        offsets, place = array("Q"), self._first
        while (chunk := self._read_chunk(place)) is not None:
            if chunk[0] == b"FRAM":
                offsets.append(place)
            elif chunk[0] == b"INDX":
                place = self._size
                break
            else:
                break
            place = chunk[2]
        self.lost_bytes = self._size - place
        return offsets
