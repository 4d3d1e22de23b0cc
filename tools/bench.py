"""Speeds of the runtime, the quantizer and the link, against their peers, in one run.

    python tools/bench.py
    python tools/bench.py --only hop,pack
    python tools/bench.py --quick            # a smoke test; its numbers are rough

Leaves bench.json and bench.md in --out. Parts: hop, age, chain, pack, codec, link, start, overhead, monitor, ldpc,
replicas (see `tools/bench_parts`). Each measures in fresh processes with one OpenMP thread, codec with two. Peers: raw
pyzmq, numpy.packbits, plain timm, and ezmsg where it is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This folder has a profile.py, the name of a standard module, which PyTorch imports.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import argparse
import importlib
import json
import os
import signal
import time
from datetime import UTC, datetime
from typing import Any

from tools.bench_parts import facts
from tools.bench_parts.report import Result, Table, goals_table
from tools.bench_parts.workers import WorkerError

PARTS = ("hop", "age", "chain", "pack", "codec", "link", "start", "overhead", "monitor", "ldpc", "replicas")


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help="parts to run, separated by commas")
    parser.add_argument("--quick", action="store_true", help="everything in under 40 s, to see that it works")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for bench.json and bench.md")
    options = parser.parse_args()
    options.parts = [part for part in options.only.replace(",", " ").split() if part]
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown or not options.parts:
        parser.error(f"--only: expected some of {', '.join(PARTS)}, got {options.only!r}")
    return options


def show(table: Table) -> None:
    """Print a table: drawn in a terminal, aligned text elsewhere."""
    if not sys.stdout.isatty():
        print("\n" + table.text(), flush=True)
        return
    from rich.console import Console
    from rich.table import Table as Drawn

    drawn = Drawn(title=table.title, title_justify="left")
    head, *rows = table.cells()
    for i, heading in enumerate(head):
        drawn.add_column(heading.replace("[", r"\["), justify="right" if i else "left")
    for row in rows:
        drawn.add_row(*(cell.replace("[", r"\[") for cell in row))
    console = Console()
    console.print()
    console.print(drawn)
    for note in table.notes:
        console.print(note, style="dim", highlight=False, markup=False)


def main() -> int:
    """Run the parts; 1 if one of them could not be measured."""
    options = arguments()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    machine = facts.machine()
    heading = ["semstream bench" + (", quick: rough numbers" if options.quick else ""), *facts.lines(machine)]
    print("\n".join(heading), flush=True)
    report: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "seconds": 0.0,
        "machine": machine,
        "parts": {},
        "failures": {},
    }
    begin = time.monotonic()
    results: list[Result] = []
    for part in options.parts:
        started = time.monotonic()
        try:
            result: Result = importlib.import_module(f"tools.bench_parts.{part}").measure(options.quick)
        except WorkerError as error:
            report["failures"][part] = str(error)
            print(f"\n{part}: {error}", flush=True)
            continue
        results.append(result)
        for table in result.tables:
            show(table)
        print(f"({part}: {time.monotonic() - started:.0f} s)", flush=True)
        report["parts"][part] = result.to_plain()
        report["seconds"] = round(time.monotonic() - begin, 1)
        save(options.out, heading, report, results)
    save(options.out, heading, report, results)
    show(goals_table(results))
    print(f"\n{report['seconds']:.0f} s in all; see {options.out / 'bench.md'} and bench.json")
    return 1 if report["failures"] else 0


def save(out: Path, heading: list[str], report: dict[str, Any], results: list[Result]) -> None:
    """Write bench.json and bench.md; after every part, so that an interrupted bench keeps what it has."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    lines = [f"# {heading[0]}", *heading[1:], *(f"{part}: {error}" for part, error in report["failures"].items())]
    tables = [goals_table(results), *(table for result in results for table in result.tables)]
    text = "\n\n".join([*lines, *(table.markdown() for table in tables)])
    (out / "bench.md").write_text(text + "\n", encoding="utf-8")


def stop(number: int, _: object) -> None:
    """End on a signal in order, so that the worker that runs ends as well."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, stop)
    raise SystemExit(main())
