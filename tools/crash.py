"""Kill the processes of a flowgraph while it runs, and compare what arrives with a run that nobody disturbed.

    python tools/crash.py                                   # 100,000 small frames, 100 kills
    python tools/crash.py --link --frames 1000 --kills 20   # pictures over the link

Exit code 1 if a frame is lost, comes twice, or a record differs.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "flowgraphs"))

from semstream.runtime import Flowgraph
from tools.bench_parts.crashes import killed, small, timeless


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--link", action="store_true", help="pictures over flowgraphs/awgn_link.py, not small frames")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--size", type=int, default=48, help="side of the pictures")
    parser.add_argument("--seed", type=int, default=1, help="of who is killed when")
    parser.add_argument("--disk", action="store_true", help="keep the source's frames in files")
    return parser.parse_args()


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
    for sink in sinks:
        expected, got = timeless(calm.records[sink]), timeless(disturbed.run.records[sink])
        seqs = [record["seq"] for record in got]
        twice, lost = len(seqs) - len(set(seqs)), len({r["seq"] for r in expected} - set(seqs))
        other = sum(a != b for a, b in zip(sorted(expected, key=_seq), sorted(got, key=_seq), strict=False))
        print(f"{sink}: {len(got)} records of {len(expected)}, {lost} lost, {twice} twice, {other} different, "
              f"{'same order' if got == expected else 'another order'}")  # fmt: skip
        wrong += lost + twice + other + (len(got) != len(expected))
    print(f"killed {sum(disturbed.killed.values())}: " + ", ".join(f"{n} {c}" for n, c in disturbed.killed.items()))
    print(f"undisturbed {calm_s:.1f} s, {options.frames / calm_s:.0f} frames/s; with kills {disturbed.seconds:.1f} s")
    return 1 if wrong else 0


def _seq(record: dict[str, int]) -> int:
    return record["seq"]


if __name__ == "__main__":
    raise SystemExit(main())
