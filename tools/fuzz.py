"""Fuzz everything that reads what comes from outside: messages, files, samples, requests.

    python tools/fuzz.py all                       # a million inputs each
    python tools/fuzz.py wire pmt --inputs 100000
    python tools/fuzz.py --list
    python tools/fuzz.py wire --replay out/fuzz/wire/crash-0123   # one input again

Needs atheris (`pip install 'semstream[fuzz]'`); says so and skips where there is none. Corpora, and inputs that broke
something, stay in --out, with fuzz.json. Exit code 1 if something was found. Errors other than the documented ones,
an input that takes more than --timeout seconds or a gigabyte more than the one before, and a broken property are found.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This folder has a profile.py, the name of a standard module, which PyTorch imports.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import argparse
import importlib.util
import json
import os
import re
import resource
import subprocess
from dataclasses import asdict, dataclass, field

from tools.fuzzing.targets import TARGETS


@dataclass
class Outcome:
    """What came of one target.

    Attributes
    ----------
    inputs, per_s
        How many were tried, and how many a second of CPU time: what else runs on the machine does not count.
    coverage
        Branches of the instrumented modules that were reached.
    corpus
        Inputs that reached something new.
    slowest_s, peak_mib
        Longest time of an input (whole seconds), and most memory of the process.
    found
        Files of inputs that broke something.
    error
        Its last words, if something was found.
    """

    inputs: int = 0
    per_s: float = 0.0
    coverage: int = 0
    corpus: int = 0
    slowest_s: int = 0
    peak_mib: int = 0
    found: list[str] = field(default_factory=list)
    error: str = ""


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="of --list, or all")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each target")
    parser.add_argument("--seconds", type=int, default=0, help="most time for each target; 0: no limit")
    parser.add_argument("--timeout", type=int, default=20, help="most seconds for an input")
    parser.add_argument("--longest", type=int, default=2048, help="most bytes of an input")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this input alone, without atheris")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="folder for corpora, findings and fuzz.json")
    options = parser.parse_args()
    unknown = sorted(set(options.targets) - TARGETS.keys() - {"all"})
    if unknown or not (options.targets or options.list):
        parser.error(f"TARGET: expected all or some of {', '.join(TARGETS)}, got {' '.join(unknown) or 'nothing'}")
    options.names = list(TARGETS) if "all" in options.targets else list(dict.fromkeys(options.targets))
    if options.replay is not None and len(options.names) != 1:
        parser.error("--replay: expected one TARGET")
    return options


def fuzz(name: str, options: argparse.Namespace) -> Outcome:
    """Run one target to its end."""
    corpus = options.out / name
    before = set(_findings(corpus))
    command = [
        sys.executable, "-m", "tools.fuzzing.worker", name, str(corpus.resolve()), f"-runs={options.inputs}",
        f"-max_len={options.longest}", f"-timeout={options.timeout}", f"-seed={options.seed}", "-rss_limit_mb=4096",
        "-print_final_stats=1", "-reload=0",
    ]  # fmt: skip
    if options.seconds:
        command.append(f"-max_total_time={options.seconds}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    begin = _children_s()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace")
    seconds = _children_s() - begin
    outcome = read_log(done.stderr + done.stdout)
    outcome.found = sorted(set(_findings(corpus)) - before)
    if done.returncode and not outcome.error:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        outcome.error = f"ended with status {done.returncode}: {last}"
    outcome.per_s = round(outcome.inputs / seconds, 1)
    return outcome


def _children_s() -> float:
    """CPU time of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read_log(text: str) -> Outcome:
    """What libFuzzer and Python have said."""
    outcome = Outcome()
    for name, key in (
        ("inputs", "number_of_executed_units"), ("slowest_s", "slowest_unit_time_sec"), ("peak_mib", "peak_rss_mb"),
    ):  # fmt: skip
        if found := re.search(rf"stat::{key}:\s*(\d+)", text):
            setattr(outcome, name, int(found[1]))
    if reached := re.findall(r"cov: (\d+)(?: ft: \d+)?(?: corp: (\d+))?", text):
        outcome.coverage = int(reached[-1][0])
        outcome.corpus = int(reached[-1][1] or 0)
    if raised := re.search(r"Uncaught Python exception: ===\n((?:.+\n?)*)", text):
        outcome.error = " | ".join(line.strip() for line in raised[1].strip().splitlines()[-4:])[:600]
    elif died := re.search(r"ERROR: libFuzzer: (.*)", text):
        outcome.error = died[1]
    return outcome


def _findings(folder: Path) -> list[str]:
    return [str(path) for kind in ("crash-*", "timeout-*", "oom-*") for path in folder.glob(kind)]


def main() -> int:
    """Fuzz, print a line for each target, and write what came out."""
    options = arguments()
    if options.list:
        print("\n".join(f"{name:16} {target.about}" for name, target in TARGETS.items()))
        return 0
    if options.replay is not None:
        with TARGETS[options.names[0]].make() as one:
            one(options.replay.read_bytes())
        print(f"{options.replay}: nothing is wrong with it")
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("skipped: atheris is not installed; pip install 'semstream[fuzz]' (where it has no wheel, there is none)")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    print("target              inputs  per CPU s branches  corpus  slowest s  peak MiB  findings", flush=True)
    written = options.out / "fuzz.json"
    # Targets of an earlier call stay: a long campaign is made of several.
    report: dict[str, object] = json.loads(written.read_text(encoding="utf-8")) if written.exists() else {}
    failed = False
    for name in options.names:
        o = fuzz(name, options)
        failed |= bool(o.found or o.error)
        report[name] = asdict(o)
        print(
            f"{name:16} {o.inputs:9,} {o.per_s:9,.0f} {o.coverage:9,} {o.corpus:7,} {o.slowest_s:10} {o.peak_mib:9} "
            f"{len(o.found):9}",
            flush=True,
        )
        for line in filter(None, (o.error, *o.found)):
            print(f"    {line}", flush=True)
        written.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
