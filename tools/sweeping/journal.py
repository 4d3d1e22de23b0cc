"""Journal: the rows of a sweep as CSV, one appended and on the disk as soon as it is known."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.evaluation.table import COLUMNS, Row, key_of, read_rows, row_text, write_rows


class Journal:
    """A results file as `tools/evaluate.py` writes it, which grows by a line a point.

    A line that a crash has torn is dropped when the file is opened again; its point is measured again.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    TableError
        If there is a file that is not one of ours.
    OSError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or not path.stat().st_size:
            write_rows([], path)
        with path.open("r+b") as file:
            whole = file.read()
            file.truncate(whole.rfind(b"\n") + 1)
        self.rows: list[Row] = read_rows(path)
        self._by_key = {key_of(row): row for row in self.rows}

    def find(self, described: Mapping[str, object]) -> Row | None:
        """The row of a point that was measured already."""
        return self._by_key.get(key_of(described))

    def add(self, row: Row) -> None:
        """Append a row; it is on the disk when this returns."""
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS).writerow(row_text(row))
        with self.path.open("ab") as file:
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
        full = {name: row.get(name) for name in COLUMNS}
        self.rows.append(full)
        self._by_key[key_of(full)] = full

    def put_in_order(self, described: Sequence[Mapping[str, object]]) -> None:
        """Write the rows of a whole sweep in the order of its points, after those of other sweeps."""
        first = {key_of(row): number for number, row in enumerate(described)}
        self.rows.sort(key=lambda row: first.get(key_of(row), -1))
        write_rows(self.rows, self.path)
