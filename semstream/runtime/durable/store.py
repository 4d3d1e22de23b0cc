"""Where a node keeps what its next life needs: snapshots, and rings of a source's frames."""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter, deque
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgpack
import numpy as np

from semstream.runtime.errors import BlockError
from semstream.runtime.frames import wire
from semstream.runtime.frames.frame import Array, Frame
from semstream.runtime.frames.recording import RecordingError, RecordingReader, RecordingWriter
from semstream.runtime.frames.types import NAME_OF_DTYPE
from semstream.runtime.graph.guard import Guard

MAGIC = b"SEMSNAP1"
_HEAD = struct.Struct("<8sIQ")
ITEMS_A_FILE = 64


class Item(NamedTuple):
    """What a source gave from one ``yield`` to the next: frames by port, and numbers that it left out, by port."""

    number: int
    frames: list[tuple[str, Frame]]
    gaps: list[tuple[str, int]]


class Ring(Protocol):
    """Items that not all sinks have."""

    def items(self) -> list[Item]:
        """What earlier lives have kept."""

    def add(self, item: Item) -> None:
        """Keep one; raises `BlockError` if there is no room."""

    def drop(self, number: int) -> None:
        """Items before this number need not be kept."""


class Store(Protocol):
    """Snapshots and rings of the nodes of a run."""

    def save(self, node: str, data: bytes) -> None:
        """Keep a snapshot in place of the one before; raises `BlockError` if there is no room."""

    def load(self, node: str) -> bytes | None:
        """The last snapshot; raises `BlockError` if it cannot be read."""

    def ring(self, node: str) -> Ring:
        """The ring of a source."""


class MemoryStore:
    """For nodes that are threads: what survives them is this process."""

    def __init__(self) -> None:
        self._snapshots: dict[str, bytes] = {}
        self._rings: dict[str, MemoryRing] = {}

    def save(self, node: str, data: bytes) -> None:
        """Keep a snapshot."""
        self._snapshots[node] = data

    def load(self, node: str) -> bytes | None:
        """The last snapshot."""
        return self._snapshots.get(node)

    def ring(self, node: str) -> Ring:
        """The ring of a source."""
        return self._rings.setdefault(node, MemoryRing())


class MemoryRing:
    """A ring that outlives its node."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()

    def items(self) -> list[Item]:
        """What is kept."""
        return list(self._items)

    def add(self, item: Item) -> None:
        """Keep one."""
        self._items.append(item)

    def drop(self, number: int) -> None:
        """Let go of what comes before."""
        while self._items and self._items[0].number < number:
            self._items.popleft()


class FileStore:
    """For nodes that are processes: files in the private folder of the run, which goes with it.

    With a state folder for all nodes: in there, which outlives the run's program.
    """

    def __init__(self, guard: Guard, block: str) -> None:
        self._guard = guard
        self._block = block
        self._folder = Path(guard.folder)

    def save(self, node: str, data: bytes) -> None:
        """Write a snapshot beside the one before, then in its place: whenever the process dies, one is whole."""
        path = self._path(node, "snapshot")
        run = self._guard.run.encode()
        body = struct.pack("<H", len(run)) + run + data
        part = path.with_suffix(".part")
        try:
            part.write_bytes(_HEAD.pack(MAGIC, zlib.crc32(body), len(body)) + body)
            os.replace(part, path)
        except OSError as error:
            raise BlockError(
                f"block {self._block!r}: its snapshot cannot be written to {path.parent} ({error.strerror or error}); "
                f"{_more_room(self._guard)}. What has been acknowledged is safe"
            ) from None

    def load(self, node: str) -> bytes | None:
        """The last snapshot."""
        path = self._path(node, "snapshot")
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error.strerror or str(error)) from None
        try:
            magic, checksum, length = _HEAD.unpack_from(data)
            body = data[_HEAD.size :]
            if magic != MAGIC or length != len(body) or zlib.crc32(body) != checksum:
                raise self._unreadable(path, "it is damaged")
            size = 2 + struct.unpack_from("<H", body)[0]
            if body[2:size] != self._guard.run.encode():
                raise self._unreadable(path, "it is of another run")
        except struct.error:
            raise self._unreadable(path, "it is cut short") from None
        return body[size:]

    def ring(self, node: str) -> Ring:
        """The ring of a source."""
        return FileRing(self._path(node, "ring"), self._guard, self._block)

    def _path(self, node: str, kind: str) -> Path:
        return self._folder / f"{node}.{kind}"

    def _unreadable(self, path: Path, why: str) -> BlockError:
        return lost_for_good(
            f"block {self._block!r}: its snapshot {path} cannot be read ({why}); its state is lost, and with it the run"
        )


class FileRing:
    """A ring in files of some items each, in the form of recordings."""

    def __init__(self, path: Path, guard: Guard, block: str) -> None:
        self._path = path
        self._guard = guard
        self._block = block
        self._writer: RecordingWriter | None = None
        self._files: deque[tuple[int, Path]] = deque()
        """The last item in each file, and the file."""
        self._in_file = 0
        self._number = 0

    def items(self) -> list[Item]:
        """What earlier lives have kept; what was cut off by a death had not been sent."""
        found: dict[int, Item] = {}
        paths = sorted(self._path.parent.glob(f"{self._path.name}.*"), key=lambda path: int(path.suffix[1:]))
        for path in paths:
            self._number = int(path.suffix[1:]) + 1
            if not path.stat().st_size:
                path.unlink()
                continue
            try:
                with RecordingReader(path) as reader:
                    if reader.facts.get("run") != self._guard.run:
                        raise lost_for_good(f"block {self._block!r}: the ring {path} is of another run; remove it")
                    frames = [recorded.frame for recorded in reader]
            except RecordingError as error:
                raise lost_for_good(f"block {self._block!r}: its ring cannot be read: {error}") from None
            last = -1
            for frame in frames:
                last = _unwrap(frame, found)
            self._files.append((last, path))
        whole = [item for item in found.values() if item.number >= 0]
        return sorted(whole, key=lambda item: item.number)

    def add(self, item: Item) -> None:
        """Write one item; it is there when this returns, whatever happens to the process."""
        try:
            if self._writer is None or self._in_file >= ITEMS_A_FILE:
                self._next_file()
            assert self._writer is not None
            self._writer.add(_wrapped(item))
        except (RecordingError, OSError) as error:
            raise BlockError(
                f"block {self._block!r}: its ring cannot be kept: {error}. Nothing that was acknowledged is lost; "
                f"{_more_room(self._guard)}"
            ) from None
        self._in_file += 1
        self._files[-1] = (item.number, self._files[-1][1])

    def drop(self, number: int) -> None:
        """Remove files of which nothing is needed."""
        while len(self._files) > 1 and self._files[0][0] < number:
            self._files.popleft()[1].unlink(missing_ok=True)

    def _next_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        path = Path(f"{self._path}.{self._number}")
        self._number += 1
        self._files.append((-1, path))
        self._in_file = 0
        self._writer = RecordingWriter(path, facts={"run": self._guard.run})


def _wrapped(item: Item) -> Frame:
    """An item as one frame, so that it is whole or not there: the arrays of all its frames, and what stands beside."""
    arrays: dict[str, Array] = {}
    plain: list[Any] = []
    for i, (port, frame) in enumerate(item.frames):
        names = list(frame.arrays)
        arrays |= {f"{i}.{j}": frame.arrays[name] for j, name in enumerate(names)}
        plain.append([port, frame.seq, frame.stream, frame.t0_ns, frame.tags, frame.trace, names])
    tags = {"item": item.number, "frames": plain, "gaps": [[port, seq] for port, seq in item.gaps]}
    return Frame(arrays, tags=tags)


def _unwrap(whole: Frame, found: dict[int, Item]) -> int:
    """The item of such a frame into `found`; returns its number."""
    tags = whole.tags
    frames = []
    for i, (port, seq, stream, t0_ns, own, trace, names) in enumerate(tags["frames"]):
        arrays = {name: whole.arrays[f"{i}.{j}"] for j, name in enumerate(names)}
        frames.append((port, Frame(arrays, seq, stream, t0_ns, own, trace)))
    number: int = tags["item"]
    found[number] = Item(number, frames, [(port, seq) for port, seq in tags["gaps"]])
    return number


def _more_room(guard: Guard) -> str:
    """What a user can do about a full disk."""
    if guard.outlives:
        return "free some space there, and start again: the run goes on"
    return "free some space there, or set TMPDIR to another disk"


def lost_for_good(message: str) -> BlockError:
    """An error that a further life would meet as well: the owner ends the run."""
    error = BlockError(message)
    error.add_note("for good")
    return error


def is_for_good(error: BaseException) -> bool:
    """Whether it is such an error."""
    return "for good" in getattr(error, "__notes__", ())


def pack_state(value: Any) -> bytes:
    """Plain values and arrays as bytes.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If there is something else in it.
    """
    packed: bytes = msgpack.packb(value, default=_plain, use_bin_type=True, strict_types=True)
    return packed


def unpack_state(data: bytes) -> Any:
    """Inverse of `pack_state`."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False, object_hook=_whole)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype in NAME_OF_DTYPE:
        return {"__array__": NAME_OF_DTYPE[value.dtype], "shape": list(value.shape), "data": value.tobytes()}
    if isinstance(value, deque):
        return {"__deque__": list(value), "maxlen": value.maxlen}
    for kind in (tuple, set, frozenset):
        if type(value) is kind:
            return {f"__{kind.__name__}__": list(value)}
    if isinstance(value, Counter):
        return {"__counter__": dict(value)}
    return wire.plain(value)


def _whole(value: dict[Any, Any]) -> Any:
    if "__array__" in value:
        return np.frombuffer(value["data"], value["__array__"]).reshape(value["shape"]).copy()
    if "__deque__" in value:
        return deque(value["__deque__"], value["maxlen"])
    for kind, make in _KINDS.items():
        if kind in value:
            return make(value[kind])
    return value


_KINDS: dict[str, Any] = {"__tuple__": tuple, "__set__": set, "__frozenset__": frozenset, "__counter__": Counter}
