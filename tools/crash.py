"""Kill the processes of a flowgraph while it runs, and compare what arrives with a run that nobody disturbed.

    python tools/crash.py                                   # 100,000 small frames, 100 kills
    python tools/crash.py --link --frames 1000 --kills 20   # pictures over the link
    python tools/crash.py --owner --frames 5000 --kills 20  # the program that runs it, and with it everything

Exit code 1 if a frame is lost, comes twice, or a record differs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "flowgraphs"))

from semstream.runtime import Flowgraph
from tools.bench_parts.crashes import killed, small, timeless
from tools.bench_parts.owners import journal_bytes, killed_again_and_again


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--link", action="store_true", help="pictures over flowgraphs/awgn_link.py, not small frames")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--size", type=int, default=48, help="side of the pictures")
    parser.add_argument("--seed", type=int, default=1, help="of who is killed when")
    parser.add_argument("--disk", action="store_true", help="keep the source's frames in files")
    parser.add_argument(
        "--owner", action="store_true", help="kill the program itself, which goes on from its state folder"
    )
    parser.add_argument("--engine", choices=("threads", "processes"), default="processes", help="with --owner")
    parser.add_argument("--run-in", type=Path, help=argparse.SUPPRESS)  # what --owner starts: run once, in that folder
    options = parser.parse_args()
    if options.engine != "processes" and not options.owner:
        parser.error("--engine needs --owner: only processes can be killed one by one")
    return options


def build(options: argparse.Namespace) -> tuple[Flowgraph, list[str], int]:
    """The flowgraph, its sinks, and how many records the first of them will publish."""
    durable = "disk" if options.disk else True
    if not options.link:
        return small(options.frames, durable), ["check", "keep"], int(options.frames * 0.55)
    from awgn_link import flowgraph

    graph = flowgraph(size=options.size, frames=options.frames, snr="1,4,7,10,13", scheme="optimal")
    graph.protect(durable=durable)
    graph.restart_limit = 100
    return graph, ["optimal.metrics"], options.frames


def main() -> int:
    """Run twice, print what came of it."""
    options = arguments()
    logging.getLogger("semstream").setLevel(logging.ERROR)
    if options.run_in is not None:
        return run_once(options)
    if options.owner:
        return kill_owners(options)
    graph, sinks, records = build(options)
    begin = time.monotonic()
    calm = graph.run(engine="processes")
    calm_s = time.monotonic() - begin
    records = min(records, len(calm.records[sinks[0]]))
    disturbed = killed(build(options)[0], sinks[0], options.kills, records, options.seed)
    wrong = 0
    for how, run in (("undisturbed", calm), ("with kills", disturbed.run)):
        again = {name: c["restarts"] for name, c in run.counters()["blocks"].items() if c["restarts"]}
        print(f"{how}: {'interrupted' if run.interrupted else 'finished'}, started again: {again or 'nothing'}")
        wrong += run.interrupted
    wrong += compare(sinks, calm.records, disturbed.run.records)
    print(f"killed {sum(disturbed.killed.values())}: " + ", ".join(f"{n} {c}" for n, c in disturbed.killed.items()))
    print(f"undisturbed {calm_s:.1f} s, {options.frames / calm_s:.0f} frames/s; with kills {disturbed.seconds:.1f} s")
    return 1 if wrong else 0


def run_once(options: argparse.Namespace) -> int:
    """The program that is killed: run, and leave the records in a file."""
    graph, _, _ = build(options)
    graph.state_folder = str(options.run_in / "state")
    run = graph.run(engine=options.engine)
    part = options.run_in / "records.part"
    part.write_text(json.dumps({name: list(records) for name, records in run.records.items()}), encoding="utf-8")
    os.replace(part, options.run_in / "records.json")
    return run.exit_code


def kill_owners(options: argparse.Namespace) -> int:
    """Kill that program again and again; once undisturbed, for comparison."""
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--run-in"]
    records, took, size = [], [], 0
    with tempfile.TemporaryDirectory(prefix="semstream-crash-") as folder:
        for name, kills in (("calm", 0), ("killed", options.kills)):
            own = Path(folder) / name
            own.mkdir()
            took.append(killed_again_and_again([*command, str(own)], own / "state", kills, size, options.seed))
            records.append(json.loads((own / "records.json").read_text(encoding="utf-8")))
            size = journal_bytes(own / "state")
    sinks = [name for name in build(options)[1] if records[0][name]]
    wrong = compare(sinks, *records) + (not sinks)
    calm, killed_s = took
    print(
        f"killed the program {killed_s.kills} times; undisturbed {calm.seconds:.1f} s, with kills "
        f"{killed_s.seconds:.1f} s in all, its last start {killed_s.again_s:.1f} s"
    )
    return 1 if wrong else 0


def compare(sinks: Sequence[str], calm: Mapping[str, Any], disturbed: Mapping[str, Any]) -> int:
    """Print how the records of the sinks differ; returns in how many ways they do."""
    wrong = 0
    for sink in sinks:
        expected, got = timeless(calm[sink]), timeless(disturbed[sink])
        seqs = [record["seq"] for record in got]
        twice, lost = len(seqs) - len(set(seqs)), len({r["seq"] for r in expected} - set(seqs))
        other = sum(a != b for a, b in zip(sorted(expected, key=_seq), sorted(got, key=_seq), strict=False))
        print(f"{sink}: {len(got)} records of {len(expected)}, {lost} lost, {twice} twice, {other} different, "
              f"{'same order' if got == expected else 'another order'}")  # fmt: skip
        wrong += lost + twice + other + (len(got) != len(expected))
    return wrong


def _seq(record: dict[str, int]) -> int:
    return record["seq"]


if __name__ == "__main__":
    raise SystemExit(main())
