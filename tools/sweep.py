"""Measure a grid of link quality, channel × SNR × bits × scheme × seed × weights, on all cores or on a Ray cluster.

    python tools/sweep.py --images pictures/ --channel awgn rayleigh --snr 1 4 7 10 13 --bits 2 3 4 \\
        --scheme optimal uniform --seeds 0 1 2 --out sweep.csv --heatmap sweep.png
    python tools/sweep.py … --address 10.0.0.1:6379      # on a cluster: ray start --head there, ray start elsewhere

Each point is a row of --out, on the disk as soon as it is measured; the same command goes on where it was stopped or
killed. The finished file is the same, byte for byte, whoever has measured it and in whatever order: each point computes
in one thread, and noise is keyed by seed and picture. It has the columns of tools/evaluate.py, without the time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# This folder has a profile.py, the name of a standard module, which PyTorch imports.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import argparse
from collections.abc import Iterator

from semstream.codec.checkpoint import WeightsError
from semstream.data.sequence import SourceError
from semstream.progress import Progress
from semstream.runtime.errors import FlowgraphError
from tools.evaluation import case as cases_of
from tools.evaluation.case import CaseError, make_cases
from tools.evaluation.figures import METRICS
from tools.evaluation.pictures import open_pictures
from tools.evaluation.table import Row, TableError, key_of, text_table
from tools.sweeping.grid import Cargo, Job, Point, describe_point, points_of
from tools.sweeping.heatmap import plot_heatmap
from tools.sweeping.journal import Journal
from tools.sweeping.workers import SweepError, on_cluster, on_cores


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--images", default="", help="as for tools/evaluate.py: a folder, .npz, CIFAR …; empty: scikit-image's")
    add("--channel", nargs="+", choices=cases_of.CHANNELS, default=["awgn"])
    add("--snr", nargs="+", type=float, default=[1, 4, 7, 10, 13], help="Es/N0 in dB; inf: error-free")
    add("--bits", nargs="+", type=float, default=[8], help="budgets in bits a feature")
    add("--scheme", nargs="+", choices=cases_of.SCHEMES, default=["optimal"])
    add("--quantizer", nargs="+", choices=cases_of.QUANTIZERS, default=["lloyd_max"])
    add("--modulation", nargs="+", choices=cases_of.MODULATIONS, default=["pam"])
    add("--seeds", nargs="+", type=int, default=[0], help="seeds of the noise, a row each")
    add("--weights", nargs="+", default=[""], help="names of shipped weights, or files")
    add("--size", type=int, default=0, help="fit every picture to this side; 0: as they are")
    add("--limit", type=int, default=0, help="at most so many pictures; 0: all")
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="of the networks; bf16 differs between CPUs")
    add("--workers", type=int, default=0, help="processes on this machine; 0: one a core")
    add("--address", help="HOST:PORT of a Ray cluster's head, or auto; without: this machine, and no Ray")
    add("--out", type=Path, required=True, help="CSV, a row a point; the same command goes on from it")
    add("--heatmap", type=Path, help="figure of the quality over SNR and bits, or schemes")
    add("--metric", choices=tuple(METRICS)[:2], default="psnr_db", help="of the heat map")
    options = parser.parse_args()
    if options.workers < 0:
        parser.error(f"--workers: expected 0 or more, got {options.workers}")
    return options


def measured(options: argparse.Namespace, points: list[Point], cargo: Cargo, progress: Progress) -> Iterator[Row]:
    """Rows as they come, wherever they are measured."""
    job = Job(options.images, options.limit, options.size, options.precision)
    if options.address is not None:
        found = on_cluster(job, points, cargo, options.address, progress.note)
    else:
        found = on_cores(job, points, min(options.workers or os.cpu_count() or 1, len(points)))
    for number, row in found:
        case = points[number].case
        progress.advance(1, f"{case.channel} {case.snr_db:g} dB, {case.label}")
        yield row


def main() -> int:
    """Measure and print; 0, or 130 after Ctrl-C."""
    options = arguments()
    cases = make_cases(
        options.channel, options.snr, options.scheme, options.bits, options.quantizer, modulations=options.modulation
    )
    pictures = open_pictures(options.images, options.limit, options.size)
    points = points_of(cases, options.weights, options.seeds)
    described = [describe_point(point, pictures) for point in points]
    if len({key_of(row) for row in described}) < len(points):
        raise CaseError("--weights, --seeds: one is given twice, or two files have the same name; name each once")
    journal = Journal(options.out)
    missing = [point for point, row in zip(points, described, strict=True) if journal.find(row) is None]
    interrupted = False
    try:
        with Progress("points", len(points), done=len(points) - len(missing), quiet=not missing) as progress:
            for row in measured(options, missing, Cargo.load(pictures, options.weights), progress) if missing else ():
                journal.add(row)
    except KeyboardInterrupt:
        interrupted = True
    if not interrupted:
        journal.put_in_order(described)
    rows = [row for row in map(journal.find, described) if row is not None]
    if rows:
        print(text_table(rows))
    for line in pictures.skipped:
        print(f"left out: {line}", file=sys.stderr)
    print(f"wrote {options.out}: {len(rows)} of {len(points)} points")
    if options.heatmap and rows:
        plot_heatmap(rows, options.heatmap, options.metric)
        print(f"wrote {options.heatmap}")
    if interrupted:
        print("interrupted: the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except (CaseError, SourceError, TableError, WeightsError, SweepError, FlowgraphError, OSError) as error:
        print(f"sweep: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)
