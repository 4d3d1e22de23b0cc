"""The base graphs of 5G NR's LDPC codes (3GPP TS 38.212, Section 5.3.2), from the tables that Sionna carries.

A base graph is a small matrix whose entries are cyclic shifts. Lifted by Z, each entry becomes a Z×Z identity matrix,
rolled by its shift: column c of row r says that bit ``(i + shift) mod Z`` of block c takes part in check i of block r.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from semstream.phy.errors import PhyError

LIFTING_SETS: tuple[tuple[int, ...], ...] = tuple(
    tuple(a * 2**j for j in range(8) if a * 2**j <= 384) for a in (2, 3, 5, 7, 9, 11, 13, 15)
)
"""Lifting sizes Z by set index (TS 38.212, Table 5.3.2-1)."""
ROWS = {1: 46, 2: 42}
INFORMATION_COLUMNS = {1: 22, 2: 10}
MOST_BITS = {1: 8448, 2: 3840}
"""Most information bits of a code word."""
LEAST_RATE = {1: 1 / 3, 2: 1 / 5}
MOST_RATE = 0.95
LEAST_BITS = 12


@dataclass(frozen=True)
class BaseGraph:
    """One base graph at one lifting size.

    Attributes
    ----------
    number
        1 or 2.
    lifting
        Z.
    rows
        For each base row its (column, shift) pairs, by rising column.
    """

    number: int
    lifting: int
    rows: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def information_columns(self) -> int:
        """Blocks of information bits, fillers included: 22 or 10."""
        return INFORMATION_COLUMNS[self.number]


def select(bits: int, rate: float) -> int:
    """Number of the base graph for so many information bits at a code rate (TS 38.212, Section 7.2.2)."""
    if bits <= 292 or (bits <= 3824 and rate <= 0.67) or rate <= 0.25:
        return 2
    return 1


@lru_cache(maxsize=64)
def base_graph(bits: int, number: int) -> BaseGraph:
    """The base graph of the smallest lifting size that holds so many information bits.

    Raises
    ------
    PhyError
        If no lifting size does, or Sionna, whose tables these are, is not installed.
    """
    if number == 1:
        columns = 22
    else:  # TS 38.212, Section 5.2.2: few bits leave information columns empty
        columns = next(c for most, c in ((192, 6), (560, 8), (640, 9), (MOST_BITS[2], 10)) if bits <= most)
    fitting = [(z, index) for index, sizes in enumerate(LIFTING_SETS) for z in sizes if columns * z >= bits]
    if not fitting:
        raise PhyError(f"code word: base graph {number} holds at most {MOST_BITS[number]} bits, got {bits}")
    lifting, index = min(fitting)
    shifts = _table(number)
    rows = tuple(tuple((c, values[index] % lifting) for c, values in row) for row in shifts)
    return BaseGraph(number, lifting, rows)


@cache
def _table(number: int) -> tuple[tuple[tuple[int, tuple[int, ...]], ...], ...]:
    """Shifts of each entry for the eight set indices, a tuple of (column, shifts) a row."""
    path = _tables() / f"5G_bg{number}.csv"
    rows: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in range(ROWS[number])]
    at = 0
    with path.open(newline="", encoding="ascii") as file:
        for line in list(csv.reader(file, delimiter=";"))[2:]:
            at = int(line[0]) if line[0] else at
            rows[at].append((int(line[1]), tuple(int(value) for value in line[2:10])))
    return tuple(tuple(sorted(row)) for row in rows)


def _tables() -> Path:
    # Found, not imported: Sionna takes seconds and PyTorch with it, and only its tables are wanted.
    found = find_spec("sionna")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        folder = Path(place) / "phy" / "fec" / "ldpc" / "codes"
        if folder.is_dir():
            return folder
    raise PhyError("LDPC needs the base graphs that Sionna carries: pip install 'semstream[radio]'")


def check_available() -> None:
    """Whether the base graphs are on this machine.

    Raises
    ------
    PhyError
        If they are not: says how to get them.
    """
    _tables()
