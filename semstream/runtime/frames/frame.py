"""Frame: what travels along an edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Frame:
    """Named arrays with a place in a stream.

    Parameters
    ----------
    arrays
        Named NumPy arrays. A received frame's arrays are read-only views of the message: copy before writing. A sent
        frame's arrays become read-only too, since the receivers may share their memory.
    seq
        Number of the frame in its stream, from 0. The runtime numbers the frames of a source.
    stream
        Name of the stream; joins match frames by (stream, seq).
    t0_ns
        Unix time in ns (`time.time_ns`) when the source made the frame. Unix time rather than a monotonic clock,
        because records are read beside logs. An edge between hosts moves it, and the trace, to the clock of the host
        that receives, by its age and the time on the way; plain `listen` and `dial` do not, and need clocks that agree.
        Durations inside one block use `time.perf_counter_ns`.
    tags
        Small msgpack values (None, bool, int, float, str, bytes, list, dict) that ride along; outputs inherit them.
    trace
        ``[block name, Unix time in ns]`` for each block that has sent the frame on.
    """

    __slots__ = ("arrays", "seq", "stream", "t0_ns", "tags", "trace")

    def __init__(
        self,
        arrays: Mapping[str, Array] | None = None,
        seq: int = 0,
        stream: str = "main",
        t0_ns: int = 0,
        tags: Mapping[str, Any] | None = None,
        trace: list[list[Any]] | None = None,
    ) -> None:
        self.arrays: dict[str, Array] = dict(arrays) if arrays else {}
        self.seq = seq
        self.stream = stream
        self.t0_ns = t0_ns
        self.tags: dict[str, Any] = dict(tags) if tags else {}
        self.trace: list[list[Any]] = trace if trace is not None else []

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name}: {a.dtype}{list(a.shape)}" for name, a in self.arrays.items())
        return f"Frame({self.stream}/{self.seq}, {{{arrays}}}, tags={self.tags})"

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        total = 0
        for array in self.arrays.values():
            total += array.nbytes
        return total

    def replace(self, arrays: Mapping[str, Array] | None = None, tags: Mapping[str, Any] | None = None) -> Frame:
        """Copy with other arrays (if given) and with `tags` merged over the present ones; the place is kept."""
        return Frame(
            self.arrays if arrays is None else arrays,
            self.seq,
            self.stream,
            self.t0_ns,
            {**self.tags, **tags} if tags else self.tags,
            list(self.trace),
        )

    def equals(self, other: Frame) -> bool:
        """Whether both carry the same arrays bit for bit, the same place and the same tags."""
        return (
            (self.seq, self.stream, self.t0_ns, self.tags) == (other.seq, other.stream, other.t0_ns, other.tags)
            and self.arrays.keys() == other.arrays.keys()
            and all(
                a.dtype == other.arrays[n].dtype
                and a.shape == other.arrays[n].shape
                and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(other.arrays[n]).tobytes()
                for n, a in self.arrays.items()
            )
        )
