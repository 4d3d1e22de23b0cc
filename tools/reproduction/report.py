"""The report of a reproduction: one Markdown file beside its pictures and the table of all cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.evaluation.table import Row
from tools.reproduction import paper
from tools.reproduction.study import Item, any_of

_COLUMNS = (
    ("channel", "channel"), ("snr_db", "SNR dB"), ("scheme", "scheme"), ("quantizer", "quantizer"),
    ("contribution", "contribution"), ("bits_per_feature", "bits/feature"), ("cbr", "CBR"), ("copies", "copies"),
    ("psnr_db", "PSNR dB"), ("psnr_ci95", "±"), ("ms_ssim", "MS-SSIM"), ("lpips", "LPIPS"),
    ("seconds_per_image", "s/picture"),
)  # fmt: skip


def markdown_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def rows_table(rows: Sequence[Row]) -> str:
    """Measured rows as a table."""
    return markdown_table([head for _, head in _COLUMNS], [[any_of(row[name]) for name, _ in _COLUMNS] for row in rows])


def printed_table(lines: Sequence[paper.Printed]) -> str:
    """What the paper printed."""
    cells = [[p.what, *(any_of(v) for v in (p.psnr_db, p.ms_ssim, p.lpips, p.seconds_per_image))] for p in lines]
    return markdown_table(["the paper", "PSNR dB", "MS-SSIM", "LPIPS", "s/picture"], cells)


def overhead_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Ours and the paper's costs of non-uniform quantization."""
    ours = markdown_table(
        ["ours", "uniform", "non-uniform", "ratio"],
        [[r["what"], any_of(r["uniform"]), any_of(r["non_uniform"]), any_of(r["ratio"])] for r in rows],
    )
    theirs = markdown_table(["the paper", "non-uniform over uniform"], [[k, v] for k, v in paper.TABLE_4.items()])
    return f"{ours}\n\n{theirs}"


def write(
    folder: Path,
    facts: Sequence[str],
    items: Sequence[Item],
    rows: Mapping[str, Sequence[Row]],
    files: Mapping[str, Sequence[str]],
    overhead: Sequence[Mapping[str, Any]],
    extra: Mapping[str, str],
) -> Path:
    """Write ``report.md``.

    Parameters
    ----------
    facts
        Lines on what was measured: pictures, weights, command.
    items, rows, files
        What was made: each item, its rows, its pictures.
    overhead
        Rows of `tools.reproduction.overhead.measure`; empty if it was not asked for.
    extra
        Title to file of further pictures.
    """
    parts = ["# The study of Entropy 2025, 27, 369, done again", "\n".join(f"- {fact}" for fact in facts)]
    parts.append(
        "SNR is Es/N0 of complex symbols; bits are payload bits over all features; PSNR is the mean of the pictures' "
        "own, ± its 95 % interval. The paper's figures carry no numbers; where it printed some they stand beside ours. "
        "Its weights, C and CBR are not known, so orders and differences compare, not absolute values."
    )
    for item in items:
        parts += [f"## {item.title}", item.text]
        parts += [f"![{item.title}]({name})" for name in files.get(item.name, ())]
        if item.name == "table4":
            parts.append(overhead_table(overhead))
            continue
        if item.name == "figure5" and not any(row["lpips"] is not None for row in rows[item.name]):
            parts.append(
                "LPIPS was not measured: its backbone's weights are not on this machine (see --lpips-weights)."
            )
        parts.append(rows_table(rows[item.name]))
        if item.printed:
            parts.append(printed_table(item.printed))
    for title, name in extra.items():
        parts += [f"## {title}", f"![{title}]({name})"]
    parts += ["## Where the paper contradicts itself", "\n".join(f"- {line}" for line in paper.INCONSISTENCIES)]
    path = folder / "report.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path
