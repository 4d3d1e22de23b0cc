"""What blocks publish, in order: the newest in memory, the older ones in files without a name.

A run without end publishes without end: a day at 25 frames a second makes two million records a branch, which as dicts
take some 2 GB. So only the newest stay as they are. The rest goes, packed and compressed, into temporary files that
are gone with the process, however it ends.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, overload

import msgpack

KEPT = 1024
"""Records that always stay in memory."""
CHUNK = 512
"""Records that go into a file together."""
FILE_BYTES = 2**26
MAX_FILES = 32
"""With `FILE_BYTES` 2 GiB a block: beyond that the oldest records are forgotten, and a warning says so."""
LOG = logging.getLogger("semstream")

Record = dict[str, Any]


class Records(Sequence[Record]):
    """Records of one block. Reads as a list does; any thread may read while another one appends.

    Parameters
    ----------
    name
        Name of the block, for warnings.

    Attributes
    ----------
    forgotten : int
        Oldest records that are gone: let go of by `forget`, or since the files had reached their limit. The first one
        left has index 0.
    """

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __init__(self, name: str = "") -> None:
        self.forgotten = 0
        self._name = name
        self._lock = threading.RLock()
        self._chunks: list[tuple[BinaryIO, int, int]] = []
        self._newest: list[Record] = []
        self._files: list[BinaryIO] = []
        self._spill_at = KEPT + CHUNK
        self._said = False
        self._read: tuple[int, list[Record]] = (-1, [])

    def begin_at(self, number: int) -> None:
        """Begin as if so many had been published and forgotten; before the first is appended."""
        self.forgotten = number

    def append(self, record: Record) -> None:
        """Add the newest one."""
        with self._lock:
            self._newest.append(record)
            if len(self._newest) >= self._spill_at:
                self._spill()

    @property
    def published(self) -> int:
        """Records that were ever published, forgotten ones too."""
        return self.forgotten + len(self)

    def since(self, number: int) -> Iterator[tuple[int, Record]]:
        """Records from the `number`-th published on (0: the first), each with its number."""
        while True:
            with self._lock:
                number = max(number, self.forgotten)
                if number >= self.published:
                    return
                record = self[number - self.forgotten]
            yield number, record
            number += 1

    def forget(self, number: int) -> None:
        """Let go of what was published before the `number`-th, of what lies in files by whole chunks."""
        with self._lock:
            while self._chunks and self.forgotten + CHUNK <= number:
                self._chunks.pop(0)
                self.forgotten += CHUNK
            used = {chunk[0] for chunk in self._chunks} | set(self._files[-1:])
            for file in self._files[:]:
                if file not in used:
                    self._files.remove(file)
                    file.close()
            if not self._chunks:
                gone = max(0, min(number - self.forgotten, len(self._newest)))
                del self._newest[:gone]
                self.forgotten += gone

    def __len__(self) -> int:
        return len(self._chunks) * CHUNK + len(self._newest)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        with self._lock:
            if isinstance(index, slice):
                return [self[i] for i in range(*index.indices(len(self)))]
            place = index + len(self) if index < 0 else index
            if not 0 <= place < len(self):
                raise IndexError(f"record {index} of {len(self)}")
            number, within = divmod(place, CHUNK)
            if number < len(self._chunks):
                return self._chunk(number)[within]
            return self._newest[place - len(self._chunks) * CHUNK]

    def __iter__(self) -> Iterator[Record]:
        return (record for _, record in self.since(0))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, Records)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=False))

    def __repr__(self) -> str:
        return repr(self[:]) if len(self) <= KEPT else f"<{len(self)} records of block {self._name!r}>"

    def _chunk(self, number: int) -> list[Record]:
        at = self.forgotten + number * CHUNK
        if self._read[0] != at:  # who reads one mostly reads the next one too
            file, offset, length = self._chunks[number]
            packed = zlib.decompress(os.pread(file.fileno(), length, offset))
            self._read = (at, msgpack.unpackb(packed, raw=False, strict_map_key=False))
        return self._read[1]

    def _spill(self) -> None:
        """Take the oldest of the newest into files."""
        while len(self._newest) >= KEPT + CHUNK:
            packed = zlib.compress(msgpack.packb(self._newest[:CHUNK], use_bin_type=True), 1)
            try:
                file, offset = self._written(packed)
            except OSError as error:
                if not self._said:
                    LOG.warning(
                        "block %s: its older records stay in memory, for the temporary folder %s takes none (%s); "
                        "make room there, or set TMPDIR to another",
                        self._name, tempfile.gettempdir(), error.strerror or error,
                    )  # fmt: skip
                self._said = True
                self._spill_at = len(self._newest) + CHUNK  # try again then
                return
            self._chunks.append((file, offset, len(packed)))
            del self._newest[:CHUNK]
        self._spill_at = KEPT + CHUNK
        if len(self._files) > MAX_FILES:
            self._forget()

    def _written(self, packed: bytes) -> tuple[BinaryIO, int]:
        if not self._files or self._files[-1].tell() + len(packed) > FILE_BYTES:
            self._files.append(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - lives as long as this
        file = self._files[-1]
        offset = file.tell()
        if file.write(packed) < len(packed):
            file.seek(offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return file, offset

    def _forget(self) -> None:
        if not self.forgotten:
            LOG.warning("block %s: its oldest records are forgotten, for there are too many to keep", self._name)
        while len(self._files) > MAX_FILES:
            with self._files.pop(0) as oldest:
                kept = [chunk for chunk in self._chunks if chunk[0] is not oldest]
            self.forgotten += (len(self._chunks) - len(kept)) * CHUNK
            self._chunks = kept
