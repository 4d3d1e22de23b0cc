"""What a target is, and the values that it draws from bytes."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


class BrokenError(AssertionError):
    """A property that does not hold."""


@dataclass(frozen=True)
class Target:
    """Something to fuzz.

    Attributes
    ----------
    name
        On the command line.
    about
        What reads the bytes, and what must hold.
    make
        Makes the function that takes one input. Whatever takes long or is to be closed is made here, once.
    seeds
        Inputs to begin from.
    """

    name: str
    about: str
    make: Callable[[], contextlib.AbstractContextManager[Callable[[bytes], None]]]
    seeds: Callable[[], list[bytes]]


def holds(condition: bool, words: str) -> None:
    """Raise `BrokenError` unless a property holds."""
    if not condition:
        raise BrokenError(words)


class Draw:
    """Values from bytes: the same bytes give the same values, and when they are used up come zeros."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """So many bytes, fewer at the end."""
        part = self.data[self.at : self.at + count]
        self.at += count
        return part

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(max(0, len(self.data) - self.at))

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1; of one byte, or of two."""
        width = 1 if limit <= 256 else 2
        return int.from_bytes(self.take(width), "little") % limit

    def pick(self, choices: Any) -> Any:
        """One of a sequence."""
        return choices[self.below(len(choices))]

    def number(self) -> int:
        """64 bits with a sign, small ones often."""
        width = self.pick((1, 1, 2, 4, 8))
        return int.from_bytes(self.take(width), "little", signed=True)

    def real(self) -> float:
        """A float, odd ones too."""
        return float(struct.unpack("<d", self.take(8).ljust(8, b"\0"))[0])

    def text(self) -> str:
        """Some characters."""
        return self.take(self.below(12)).decode("utf-8", "ignore")

    def value(self, depth: int = 0) -> Any:
        """A plain value, nested at times."""
        kind = self.below(10 if depth < 4 else 7)
        if kind < 7:
            return (None, True, False, self.number(), self.real(), self.text(), self.take(self.below(9)))[kind]
        if kind == 9:
            return {self.text(): self.value(depth + 1) for _ in range(self.below(4))}
        return [self.value(depth + 1) for _ in range(self.below(4))]

    def array(self, names: Any) -> np.ndarray:
        """An array of one of these dtypes, of few elements."""
        dtype = np.dtype(self.pick(names))
        shape = tuple(self.below(4) for _ in range(self.below(4)))
        count = int(np.prod(shape)) * dtype.itemsize
        array = np.frombuffer(self.take(count).ljust(count, b"\0"), np.uint8)
        return (array & 1).astype(bool).reshape(shape) if dtype.kind == "b" else array.view(dtype).reshape(shape)


@contextlib.contextmanager
def memory_file() -> Iterator[tuple[Path, Callable[[bytes], None]]]:
    """A file without a disk: its path, and a function that sets what is in it."""
    fd = os.memfd_create("fuzz")

    def fill(data: bytes) -> None:
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)

    try:
        yield Path(f"/proc/self/fd/{fd}"), fill
    finally:
        os.close(fd)


def plain(function: Callable[[bytes], None]) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """`Target.make` of a function that needs nothing made first."""
    return lambda: contextlib.nullcontext(function)
