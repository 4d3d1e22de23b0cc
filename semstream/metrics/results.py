"""What a measured run leaves: a table, records, figures."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semstream.metrics import perceptual, quality, report

Record = Mapping[str, Any]


class Ordered:
    """Records of several sequences by frame and branch, read where they are: those of a day need not fit into memory.

    Parameters
    ----------
    sources
        Sequences of records, each with ``seq`` and ``branch``.
    wanted
        Which records count.
    """

    def __init__(self, sources: Iterable[Sequence[Record]], wanted: Callable[[Record], bool] = lambda _: True) -> None:
        self._sources = list(sources)
        branches: dict[str, int] = {}
        seqs, branch_of, source_of, places = array("q"), array("l"), array("l"), array("q")
        for number, source in enumerate(self._sources):
            for place, record in enumerate(source):
                if wanted(record):
                    seqs.append(record["seq"])
                    branch_of.append(branches.setdefault(record["branch"], len(branches)))
                    source_of.append(number)
                    places.append(place)
        rank = np.argsort(np.argsort(np.array(list(branches), dtype=object))) if branches else np.zeros(0, int)
        order = np.lexsort((rank[np.array(branch_of, int)], np.array(seqs)))
        self._places = np.array(places)[order]
        self._source_of = np.array(source_of)[order]

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, record: object) -> bool:
        return any(record == mine for mine in self)

    def __iter__(self) -> Iterator[Record]:
        for number, place in zip(self._source_of, self._places, strict=True):
            yield self._sources[number][int(place)]


def notes(records: Iterable[Record], lpips_net: str, lpips_weights: str = "") -> list[str]:
    """Lines below the table: how MS-SSIM and LPIPS were measured, or why LPIPS is missing.

    Parameters
    ----------
    records
        Records of `blocks.MetricSink`.
    lpips_net, lpips_weights
        Its settings ``lpips`` and ``lpips_weights``.
    """
    sizes = {(r["height"], r["width"]) for r in records}
    scales = sorted({str(quality.ms_ssim_scale(*size)) for size in sizes})
    lines = [f"{line} (the standard has 5 scales, window 11)" for line in scales if "5 scales, window 11" not in line]
    if lpips_net != "off":
        lines.append(perceptual.Lpips(lpips_net, weights_file=lpips_weights or None).said)
    return lines


def results(records: Iterable[Record], title: str, lines: Sequence[str], out: Path | None = None) -> str:
    """The table of a run's qualities, as text; empty without records.

    Parameters
    ----------
    records
        Records of `blocks.MetricSink`, in any order.
    title, lines
        Above and below the table.
    out
        Folder for records.csv, records.jsonl, table.txt, quality_vs_snr.png, and frames.png where there are snapshots.
    """
    rows = records if isinstance(records, Ordered) else Ordered([list(records)])
    if out is not None:
        report.write_csv(rows, out / "records.csv")
        report.write_jsonl(rows, out / "records.jsonl")
    if not rows:
        return ""
    sizes = sorted({(r["width"], r["height"]) for r in rows})
    title += f", {sizes[0][0]}×{sizes[0][1]} pixels" if len(sizes) == 1 else f", {len(sizes)} sizes of pictures"
    summary = report.summarise(rows)
    text = report.text_table(summary, title, lines)
    if out is not None:
        from semstream.metrics import figures

        (out / "table.txt").write_text(text + "\n", encoding="utf-8")
        reason = next((line for line in lines if "LPIPS" in line), "")
        figures.plot_quality_vs_snr(summary, out / "quality_vs_snr.png", title, reason)
        plot_snapshots(out)
    return text


def plot_snapshots(out: Path) -> None:
    """frames.png from the snapshots that the metric sinks have left in ``out/snapshots``."""
    from PIL import Image

    from semstream.metrics import figures

    sent: dict[float, np.ndarray] = {}
    received: dict[str, dict[float, np.ndarray]] = {}
    for path in sorted((out / "snapshots").glob("*_received.png")):
        branch, snr = path.stem.removesuffix("_received").rsplit("_", 1)
        received.setdefault(branch, {})[float(snr)] = np.asarray(Image.open(path))
        sent[float(snr)] = np.asarray(Image.open(path.with_name(path.name.replace("_received", "_sent"))))
    if received:
        figures.plot_frames(sent, received, out / "frames.png")
