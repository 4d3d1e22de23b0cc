"""The results table: a row a case, kept as CSV that a later run goes on from."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.evaluation.case import Case
from tools.evaluation.simulate import Outcome

COLUMNS = (
    "images", "channel", "snr_db", "scheme", "quantizer", "contribution", "bits_per_feature",
    "side_bits_per_feature", "cbr", "psnr_db", "psnr_std", "ms_ssim", "lpips", "n_images", "seconds_per_image",
    "psnr_ci95", "budget_bits", "classes", "dequantize", "am_gm_db", "weights", "seed", "modulation", "design_snr_db",
    "csi", "pilots", "coherence", "asked_cbr", "copies", "note",
)  # fmt: skip
NUMBERS = frozenset(COLUMNS) - {
    "images", "channel", "scheme", "quantizer", "contribution", "dequantize", "weights", "modulation", "csi",
    "coherence", "copies", "note",
}  # fmt: skip
KEY = (
    "images", "n_images", "weights", "seed", "channel", "snr_db", "scheme", "budget_bits", "quantizer", "contribution",
    "classes", "dequantize", "modulation", "design_snr_db", "csi", "pilots", "coherence",
    "asked_cbr", "copies",
)  # fmt: skip
_ADDED = {"asked_cbr": "0", "copies": ""}  # what a file from before these columns has in them

Row = dict[str, Any]


class TableError(ValueError):
    """A results file that cannot be gone on with: says why and the way out."""


def describe(case: Case, images: str, count: int, weights: str, seed: int) -> Row:
    """The columns that say which case a row is of."""
    return {
        "images": images,
        "n_images": count,
        "weights": weights,
        "seed": seed,
        "channel": case.channel,
        "snr_db": case.snr_db,
        "scheme": case.scheme,
        "budget_bits": case.bits,
        "quantizer": case.quantizer,
        "contribution": case.contribution,
        "classes": case.classes,
        "dequantize": case.dequantize,
        "modulation": case.modulation,
        "design_snr_db": case.design_snr_db,
        "csi": case.csi,
        "pilots": case.pilots,
        "coherence": case.coherence + (" interleaved" if case.interleave else ""),
        "asked_cbr": case.cbr,
        "copies": case.copies,
    }


def key_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells one case from another, as text."""
    return tuple(f"{row[name]:g}" if name in NUMBERS and row[name] is not None else str(row[name]) for name in KEY)


def summary(outcomes: Sequence[Outcome]) -> Row:
    """Means over pictures; the standard deviation of PSNR and the 95 % interval of its mean (± dB).

    Bits a feature and CBR are ratios of totals, so that pictures count by their size there.
    """
    quality = np.array([o.psnr_db for o in outcomes])
    finite = quality[np.isfinite(quality)]
    spread = float(finite.std(ddof=1)) if finite.size > 1 else 0.0
    distances = [o.lpips for o in outcomes if o.lpips is not None]
    features = sum(o.features for o in outcomes)
    return {
        "bits_per_feature": sum(o.payload_bits for o in outcomes) / features,
        "side_bits_per_feature": sum(o.side_bits for o in outcomes) / features,
        "cbr": sum(o.channel_uses for o in outcomes) / sum(o.source_values for o in outcomes),
        "psnr_db": float(quality.mean()),
        "psnr_std": spread,
        "psnr_ci95": 1.96 * spread / math.sqrt(len(outcomes)),
        "ms_ssim": float(np.mean([o.ms_ssim for o in outcomes])),
        "lpips": float(np.mean(distances)) if len(distances) == len(outcomes) else None,
        "seconds_per_image": float(np.mean([o.seconds for o in outcomes])),
    }


class Results:
    """Rows, on disk after each one.

    Parameters
    ----------
    path
        CSV file; None keeps the rows in memory.

    Raises
    ------
    TableError
        If the file there is not one of ours.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[Row] = read_rows(path) if path is not None and path.exists() else []
        self._by_key = {key_of(row): row for row in self.rows}

    def find(self, described: Row) -> Row | None:
        """The row of a case that was measured already."""
        return self._by_key.get(key_of(described))

    def add(self, row: Row) -> None:
        """Add a row and write the file."""
        full = {name: row.get(name) for name in COLUMNS}
        self.rows.append(full)
        self._by_key[key_of(full)] = full
        if self.path is not None:
            write_rows(self.rows, self.path)


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow(row_text(row))
    os.replace(partial, path)


def row_text(row: Row) -> dict[str, str]:
    """A row as the file has it."""
    return {name: _text(row.get(name)) for name in COLUMNS}


def read_rows(path: Path) -> list[Row]:
    """Read what `write_rows` wrote.

    Raises
    ------
    TableError
        If the columns are others, or a number is none.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) not in (COLUMNS, tuple(c for c in COLUMNS if c not in _ADDED)):
                raise TableError(f"{path}: its columns are not those of this program; name another --out")
            return [{name: _value(name, (_ADDED | row)[name]) for name in COLUMNS} for row in reader]
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{path}: not a results file ({error}); name another --out") from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _value(name: str, text: str) -> Any:
    if name not in NUMBERS:
        return text
    if text == "":
        return None
    return int(text) if name in ("n_images", "classes", "seed") else float(text)


SHOWN = (
    ("channel", "channel", ""), ("snr_db", "SNR dB", "g"), ("scheme", "scheme", ""), ("quantizer", "quantizer", ""),
    ("bits_per_feature", "bits/feature", ".3f"), ("side_bits_per_feature", "side", ".4f"), ("cbr", "CBR", ".4f"),
    ("psnr_db", "PSNR dB", ".2f"), ("psnr_ci95", "±", ".2f"), ("ms_ssim", "MS-SSIM", ".4f"), ("lpips", "LPIPS", ".4f"),
    ("seconds_per_image", "s/image", ".4f"), ("note", "", ""),
)  # fmt: skip


def text_table(rows: Sequence[Row]) -> str:
    """Rows as aligned text; several weights, contributions or dequantizers get a column of their own."""
    shown = list(SHOWN)
    for name in (
        "dequantize",
        "contribution",
        "weights",
        "modulation",
        "csi",
        "coherence",
        "seed",
        "asked_cbr",
        "copies",
    ):
        if len({row[name] for row in rows if row[name] not in ("", None)}) > 1:
            shown.insert(4, (name, name, ".4g" if name == "asked_cbr" else ""))
    heads = [head for _, head, _ in shown]
    cells = [[_cell(row[name], form) for name, _, form in shown] for row in rows]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(shown))]
    return "\n".join(
        "  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in [heads, *cells]
    )


def losses(rows: Sequence[Row]) -> str:
    """PSNR that estimated CSI loses against perfect, a line a channel and estimator, a column an SNR; or nothing."""
    other = [name for name in KEY if name != "csi"]
    perfect = {tuple(row[name] for name in other): row["psnr_db"] for row in rows if row["csi"] == "perfect"}
    found: dict[tuple[str, ...], dict[float, float]] = {}
    for row in rows:
        known = perfect.get(tuple(row[name] for name in other))
        if row["csi"] == "perfect" or known is None or row["psnr_db"] is None:
            continue
        words = (row["weights"], row["channel"], row["coherence"], f"{row['pilots']:g}", row["csi"], row["scheme"])
        line = found.setdefault((*words, f"{row['budget_bits']:g}", row["dequantize"]), {})
        line[row["snr_db"]] = known - row["psnr_db"]
    if not found:
        return ""
    snrs = sorted({snr for line in found.values() for snr in line})
    heads = ["weights", "channel", "coherence", "pilots", "csi", "scheme", "bits", "dequantize"]
    cells = [heads + [f"{snr:g} dB" for snr in snrs]]
    cells += [[*words, *(f"{line[snr]:.2f}" if snr in line else "-" for snr in snrs)] for words, line in found.items()]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(["PSNR lost to estimation, in dB, at SNR:", *lines])


def _cell(value: Any, form: str) -> str:
    if value is None or value == "":
        return "-" if form else ""
    return format(value, form)
