"""Records of a run: written as CSV and JSON lines, summarised per branch and SNR, shown as a table.

A record is a flat dict, one for each frame and branch. Known keys, all optional except ``branch`` and ``snr_db``:

=====================================  =========================================================================
``branch``, ``seq``                    name of the branch, frame number
``snr_db``, ``channel``, ``scheme``    setting under which the frame was sent; ``inf`` dB is error-free
``psnr_db``, ``ms_ssim``, ``lpips``    quality; NaN or None where not measured
``bits_per_feature``                   payload bits a feature
``side_bits_per_feature``              side information, bits a feature
``cbr``                                complex channel uses / (3 H W)
``concealed``                          1 for a picture that was not received, and is shown in place of it; else 0
``latency_ms``                         source to sink
``completed_ns``                       time of completion, any clock that counts nanoseconds
=====================================  =========================================================================
"""

from __future__ import annotations

import csv
import json
import math
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rich.table import Table

Record = Mapping[str, Any]

_KEYS = ("branch", "snr_db")
_NOT_MEASURED = frozenset({"seq", "completed_ns", *_KEYS})
# Heading, summary key, digits. p50 and p99 are of the latency.
_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("PSNR dB", "psnr_db", 2),
    ("MS-SSIM", "ms_ssim", 4),
    ("LPIPS", "lpips", 4),
    ("bits/feat", "bits_per_feature", 3),
    ("side/feat", "side_bits_per_feature", 4),
    ("CBR", "cbr", 4),
    ("concealed", "concealed", 0),
    ("frames/s", "frames_per_s", 1),
    ("p50 ms", "latency_ms_p50", 1),
    ("p99 ms", "latency_ms_p99", 1),
    ("frames", "count", 0),
)
_QUALITY = frozenset({"psnr_db", "ms_ssim", "lpips"})


def summarise(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Summarise records per (branch, SNR).

    Parameters
    ----------
    records : iterable of dict

    Returns
    -------
    list of dict
        By rising SNR, branches in order of first appearance. Each holds ``branch``, ``snr_db``, ``count`` (frames);
        for every numeric key K of its records the mean ``K`` and the sample standard deviation ``K_std``, over the
        values that were measured (None for none; no deviation of fewer than two, or of infinite ones);
        ``latency_ms_p50`` and ``latency_ms_p99``; how many pictures were ``concealed``; ``frames_per_s`` from the
        completion times, (count - 1) / (last - first); and every other key that has one value in the whole group.

    Raises
    ------
    ValueError
        If a record has no ``branch`` or no numeric ``snr_db``.
    """
    groups: dict[tuple[float, str], _Group] = {}
    branches: dict[str, int] = {}
    for record in records:
        snr = _number(record.get("snr_db"))
        if "branch" not in record or snr is None:
            raise ValueError(f"record: expected branch and snr_db, got {dict(record)}; add both where it is published")
        branches.setdefault(record["branch"], len(branches))
        groups.setdefault((snr, record["branch"]), _Group()).add(record)
    ordered = sorted(groups, key=lambda key: (key[0], branches[key[1]]))
    return [_summary(branch, snr, groups[snr, branch]) for snr, branch in ordered]


class _Column:
    """The values of one key, without the records: those of a day would not fit into memory."""

    def __init__(self) -> None:
        self.count = 0
        self.numbers = array("d")
        self.has_floats = False
        self.first: Any = None
        self.is_one_value = True

    def add(self, value: Any) -> None:
        self.first = value if not self.count else self.first
        self.count += 1
        number = _number(value)
        if number is not None:
            self.numbers.append(number)
        self.has_floats |= isinstance(value, float | np.floating)
        # Whether a setting has changed is asked of no measured value.
        self.is_one_value = self.is_one_value and (self.has_floats or bool(value == self.first))


class _Group:
    """The records of one branch at one SNR."""

    def __init__(self) -> None:
        self.count = 0
        self.columns: dict[str, _Column] = {}
        self.completed = 0
        self.first_ns = self.last_ns = 0

    def add(self, record: Record) -> None:
        self.count += 1
        for key, value in record.items():
            if key in _NOT_MEASURED:
                continue
            column = self.columns.get(key)
            if column is None:
                column = self.columns[key] = _Column()
            if value is not None:
                column.add(value)
        at = record.get("completed_ns")
        if at is not None:
            self.first_ns = min(at, self.first_ns) if self.completed else at
            self.last_ns = max(at, self.last_ns) if self.completed else at
            self.completed += 1


def _summary(branch: str, snr: float, group: _Group) -> dict[str, Any]:
    row: dict[str, Any] = {"branch": branch, "snr_db": snr, "count": group.count}
    for key, column in group.columns.items():
        numbers = np.frombuffer(column.numbers) if column.numbers else np.zeros(0)
        if len(numbers) < column.count and not column.has_floats:
            if column.is_one_value:
                row[key] = column.first  # a setting, such as the channel's name
            continue
        if key == "concealed":
            row[key] = int(numbers.sum())
            continue
        row[key] = float(np.mean(numbers)) if len(numbers) else None
        spread = len(numbers) > 1 and np.isfinite(numbers).all()
        row[f"{key}_std"] = float(np.std(numbers, ddof=1)) if spread else None
        if key == "latency_ms":
            for percent in (50, 99):
                row[f"latency_ms_p{percent}"] = percentile(numbers, percent)
    span = group.last_ns - group.first_ns
    row["frames_per_s"] = (group.completed - 1) * 1e9 / span if span > 0 else None
    return row


def percentile(values: Sequence[float] | NDArray[np.float64], percent: float) -> float | None:
    """Percentile with linear interpolation, None of no values."""
    return float(np.percentile(values, percent)) if len(values) else None


def _number(value: Any) -> float | None:
    """The value as a float, None for NaN and for what is no number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return None
    number = float(value)
    return None if math.isnan(number) else number


def write_csv(records: Iterable[Record], path: str | Path) -> None:
    """Write records as CSV: a column for every key that occurs, ``inf`` for infinity, empty for None and NaN."""
    rows = records if isinstance(records, Collection) else list(records)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with _create(path) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)


def write_jsonl(records: Iterable[Record], path: str | Path) -> None:
    """Write records as JSON lines. JSON has no such numbers: NaN becomes null, infinity the string "inf"."""
    with _create(path) as file:
        for record in records:
            row = {key: _plain(value) for key, value in record.items()}
            file.write(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n")


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read what `write_jsonl` wrote; "inf" becomes infinity again, null is None."""
    infinite = {"inf": math.inf, "-inf": -math.inf}
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
    return [{key: infinite.get(v, v) if isinstance(v, str) else v for key, v in row.items()} for row in rows]


def _create(path: str | Path) -> Any:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.open("w", encoding="utf-8", newline="")


def _plain(value: Any) -> Any:
    """A value that JSON and CSV know."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def table(summary: Sequence[Record], title: str = "", notes: Sequence[str] = ()) -> Table:
    """The summary as a rich table, one section an SNR.

    Parameters
    ----------
    summary : list of dict
        From `summarise`. PSNR is shown with its standard deviation, bits a feature as payload and side
        information, latency by its p50 and p99. Columns without any value are left out, except PSNR, MS-SSIM and LPIPS.
    title : str
    notes : sequence of str
        Lines below the table, such as why LPIPS is missing.

    Returns
    -------
    rich.table.Table
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    headings, rows = _cells(summary)
    caption = escape("\n".join(notes)) or None
    shown = Table(title=escape(title) or None, caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    for index, heading in enumerate(headings):
        shown.add_column(heading, justify="left" if index == 1 else "right")
    for index, row in enumerate(rows):
        last = index + 1 == len(rows) or rows[index + 1][0] != row[0]
        repeated = index > 0 and rows[index - 1][0] == row[0]
        shown.add_row("" if repeated else row[0], *map(escape, row[1:]), end_section=last)
    return shown


def text_table(summary: Sequence[Record], title: str = "", notes: Sequence[str] = ()) -> str:
    """The same table as plain text, for logs and files; parameters as `table`."""
    headings, rows = _cells(summary)
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (c.ljust(w) if i == 1 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return "  ".join(padded).rstrip()

    lines = [title] if title else []
    lines += [line(headings), line(["-" * width for width in widths])]
    for index, row in enumerate(rows):
        if index and rows[index - 1][0] != row[0]:
            lines.append("")
        lines.append(line(row))
    return "\n".join([*lines, *notes])


def _cells(summary: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    columns = [c for c in _COLUMNS if c[1] in _QUALITY or any(row.get(c[1]) is not None for row in summary)]
    headings = ["SNR dB", "branch", *(heading for heading, _, _ in columns)]
    rows = [
        [f"{row['snr_db']:g}", str(row["branch"]), *(_cell(row, key, digits) for _, key, digits in columns)]
        for row in summary
    ]
    return headings, rows


def _cell(row: Record, key: str, digits: int) -> str:
    value = row.get(key)
    if value is None:
        return "n/a"
    spread = row.get("psnr_db_std") if key == "psnr_db" else None
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")
