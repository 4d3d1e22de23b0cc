"""5G NR LDPC codes (3GPP TS 38.212): encoding, rate matching, and layered belief propagation.

    bits (k) --fillers--> information blocks --parity of the base graph--> code word --drop 2Z, fillers, tail--> (n)

Sionna's decoder works on any parity-check matrix by gathering edges. The rows of a lifted base graph are cyclic shifts,
so that here each row is a handful of operations on whole blocks of Z bits times a batch, and rows follow one another
(layers: half the iterations). Same codes, same bits; the tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from semstream.phy.base_graph import LEAST_BITS, LEAST_RATE, MOST_BITS, MOST_RATE, BaseGraph, base_graph, select
from semstream.phy.errors import PhyError

Bits = NDArray[np.uint8]
Llr = NDArray[np.float32]
CORE = 4
"""Rows and parity blocks of the part that is solved; each row beyond it adds one parity block of its own."""


@dataclass(frozen=True)
class LdpcCode:
    """A code of `k` information bits and `n` code bits.

    Attributes
    ----------
    k, n
        Information bits of a word, and bits of it that are sent.
    graph
        Lifted base graph; only the rows that `n` needs.
    """

    k: int
    n: int
    graph: BaseGraph

    @property
    def rate(self) -> float:
        """Code rate k/n."""
        return self.k / self.n

    @property
    def fillers(self) -> int:
        """Zero bits behind the information bits that are known and not sent."""
        return self.graph.information_columns * self.graph.lifting - self.k

    @property
    def columns(self) -> int:
        """Blocks of the code word that the rows in use reach."""
        return self.graph.information_columns + len(self.graph.rows)

    def sent(self) -> slice | NDArray[np.int64]:
        """Places in the whole code word of the bits that are sent, in order."""
        z = self.graph.lifting
        end = self.graph.information_columns * z
        return np.concatenate((np.arange(2 * z, self.k), np.arange(end, end + self.n - (self.k - 2 * z))))

    def encode(self, bits: Bits) -> Bits:
        """Code words of information bits.

        Parameters
        ----------
        bits : ndarray (B, k), uint8 of 0 and 1.

        Returns
        -------
        ndarray (B, n), uint8.

        Raises
        ------
        PhyError
            If the shape is another.
        """
        if bits.ndim != 2 or bits.shape[1] != self.k:
            raise PhyError(f"bits: expected (words, {self.k}), got {bits.shape}")
        z, width = self.graph.lifting, self.graph.information_columns
        word = np.zeros((self.columns, z, len(bits)), np.uint8)
        word.reshape(-1, len(bits))[: self.k] = bits.T
        rows = self.graph.rows
        partial = [_sum(word, [entry for entry in rows[r] if entry[0] < width]) for r in range(CORE)]
        shift = {r: dict(rows[r]) for r in range(CORE)}
        # The core's first parity block stands alone in the sum of its four rows, where all others meet twice.
        middle = 1 if self.graph.number == 1 else 2
        first = np.roll(partial[0] ^ partial[1] ^ partial[2] ^ partial[3], shift[middle][width], axis=0)
        word[width] = first
        word[width + 1] = partial[0] ^ np.roll(first, -shift[0][width], axis=0)
        word[width + 3] = partial[3] ^ np.roll(first, -shift[3][width], axis=0)
        word[width + 2] = partial[2] ^ word[width + 3] if middle == 1 else partial[1] ^ word[width + 1]
        for r in range(CORE, len(rows)):
            word[width + r] = _sum(word, [entry for entry in rows[r] if entry[0] < width + CORE])
        return np.ascontiguousarray(word.reshape(-1, len(bits))[self.sent()].T)


def _sum(word: Bits, entries: list[tuple[int, int]]) -> Bits:
    """Sum modulo 2 of shifted blocks."""
    total = np.zeros(word.shape[1:], np.uint8)
    for column, shift in entries:
        total ^= np.roll(word[column], -shift, axis=0)
    return total


@lru_cache(maxsize=128)
def ldpc_code(k: int, n: int) -> LdpcCode:
    """The 5G NR code of `k` information and `n` code bits.

    Raises
    ------
    PhyError
        If there is no such code: fewer than 12 or more than 8,448 bits, a rate above 0.95, or below 1/3 (above
        3,840 bits) or 1/5.
    """
    if not LEAST_BITS <= k <= MOST_BITS[1]:
        raise PhyError(f"code word: expected {LEAST_BITS} to {MOST_BITS[1]} information bits, got {k}")
    rate = k / n if n > 0 else np.inf
    number = select(k, rate)
    if k > MOST_BITS[number]:
        number = 1
    least = LEAST_RATE[number]
    if number == 1 and rate < least and k <= MOST_BITS[2]:
        number, least = 2, LEAST_RATE[2]
    if not least - 1e-9 <= rate <= MOST_RATE:
        raise PhyError(f"code rate: expected {least:.3g} to {MOST_RATE:g} for {k} bits, got {rate:.3g} ({k}/{n})")
    graph = base_graph(k, number)
    z, width = graph.lifting, graph.information_columns
    fillers = width * z - k
    rows = max(CORE, -(-(n + 2 * z + fillers) // z) - width)
    return LdpcCode(k, n, BaseGraph(number, z, graph.rows[:rows]))
