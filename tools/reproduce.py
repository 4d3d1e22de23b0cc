"""The paper's study, done again: Figures 3 to 8 and Tables 1 to 4, with our numbers beside the printed ones; and beyond
it quality against the channel bandwidth ratio (`rates`), beside WITT's.

    python tools/reproduce.py --dataset cifar-10-batches-py
    python tools/reproduce.py --only figure6 table2 --limit 50
    python tools/reproduce.py --dataset cifar-10-batches-py --only rates --rate-snr 1 4 7 13

Leaves report.md, results.csv and a PNG a figure in --out. It goes on where it was stopped. Without --dataset it takes
scikit-image's photographs, so that it runs offline.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This folder has a profile.py, the name of a standard module, which PyTorch imports.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import argparse
from typing import Any

from semstream.codec.checkpoint import WeightsError
from semstream.data.sequence import SourceError
from tools.evaluation.case import Case
from tools.evaluation.figures import plot_bits, plot_lines, plot_strip
from tools.evaluation.pictures import Batch, Pictures, open_pictures
from tools.evaluation.run import Evaluation
from tools.evaluation.simulate import Simulator
from tools.evaluation.table import Results, Row, TableError
from tools.reproduction import overhead as overhead_of
from tools.reproduction import report
from tools.reproduction.study import EIGHT, SNRS_DB, label, measure, study

EXTRA = ("strip", "bits", "budgets")


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", default="", help="CIFAR-10, CIFAR-100, Tiny ImageNet as published, .npz, or a folder of pictures")
    add("--only", nargs="+", choices=[*study(), *EXTRA], default=[*study(), *EXTRA], help="what to make")
    add("--rate-snr", nargs="+", type=float, default=[], help="SNRs in dB of the rates, beside 10 dB")
    add("--limit", type=int, default=0, help="at most so many pictures; 0: all")
    add("--size", type=int, default=0, help="fit every picture to this side; 0: as they are (64 without --dataset)")
    add("--weights", default="", help="name of shipped weights or a file")
    add("--lpips", choices=("auto", "vgg", "alex", "squeeze", "off"), default="auto", help="backbone of LPIPS")
    add("--lpips-weights", default="", help="file with the backbone's weights; empty: PyTorch's cache")
    add("--seed", type=int, default=0, help="seed of the noise")
    add("--device", default="cpu", help="PyTorch device")
    add("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    add("--out", type=Path, default=Path("out/reproduce"), help="folder of the report")
    return parser.parse_args()


def lpips_of(options: argparse.Namespace) -> object | None:
    """The LPIPS measure that was asked for, or None where it cannot be had (said once)."""
    if options.lpips == "off":
        return None
    from semstream.metrics.perceptual import Lpips

    lpips = Lpips(options.lpips, weights_file=options.lpips_weights or None)
    print(lpips.said, file=sys.stderr)
    if lpips.available:
        return lpips
    return None


def draw_strip(simulator: Simulator, pictures: Pictures, folder: Path) -> dict[str, str]:
    """One picture at each SNR, three branches."""
    batch = Batch(0, pictures.batches[0].pictures[:1])
    branches = {"ours, 8-bit": ("optimal", EIGHT), "uniform, 8-bit": ("uniform", EIGHT), "unquantized": ("none", 0.0)}
    received = {
        name: {
            snr: simulator.transmit(batch, Case("awgn", snr, scheme, bits, "lloyd_max", "sensitivity"))[0][0]
            for snr in SNRS_DB
        }
        for name, (scheme, bits) in branches.items()
    }
    plot_strip(batch.pictures[0], received, folder / "strip.png")
    return {"A picture at each SNR, with its error (AWGN)": "strip.png"}


def draw_bits(simulator: Simulator, pictures: Pictures, folder: Path) -> dict[str, str]:
    """Bits a class over the feature maps of the first picture."""
    batch = Batch(0, pictures.batches[0].pictures[:1])
    features = simulator.encode(batch).features[0]
    bits = simulator.profile.allocate("optimal", EIGHT, feature_count=features.size)
    order = simulator.profile.weighted_variance
    plot_bits(features, bits, order, folder / "bits.png", batch.pictures[0])
    return {f"Bits over the feature maps, {EIGHT:.2f} a feature, in the order of their contribution": "bits.png"}


def draw_budgets(evaluation: Evaluation, folder: Path) -> dict[str, str]:
    """Quality against bits, error-free and at 13 dB."""
    from tools.evaluation.case import make_cases

    cases = make_cases(["awgn"], [float("inf"), 13.0], ("paper", "uniform", "fixed", "optimal"), [2, 3, 4, 6, 8])
    rows = evaluation.measure(cases)

    def words(row: dict[str, object]) -> str:
        return label({**row, "budget_bits": 0.0}).partition(", ")[2]

    panels = {
        "error-free": [r for r in rows if r["snr_db"] == float("inf")],
        "AWGN, 13 dB": [r for r in rows if r["snr_db"] == 13],
    }
    plot_lines(panels, folder / "budgets.png", words, x="budget_bits")
    return {"Quality against bits a feature": "budgets.png"}


def main() -> int:
    """Measure, draw, write the report; 0, or 130 after Ctrl-C."""
    options = arguments()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    size = options.size or (0 if options.dataset else 64)
    pictures = open_pictures(options.dataset, options.limit, size)
    simulator = Simulator(options.weights, options.seed, options.device, lpips=lpips_of(options))
    evaluation = Evaluation(simulator, pictures, Results(options.out / "results.csv"))
    items = [item for name, item in study(options.rate_snr).items() if name in options.only]
    rows: dict[str, list[Row]] = {}
    files: dict[str, list[str]] = {}
    overhead: list[dict[str, Any]] = []
    extra: dict[str, str] = {}
    try:
        for item in items:
            print(item.title)
            rows[item.name] = measure(item, evaluation)
            if item.name == "table4":
                overhead = overhead_of.measure(simulator, pictures)
            if item.draw is not None:
                files[item.name] = item.draw(rows[item.name], options.out)
        if "strip" in options.only:
            extra |= draw_strip(simulator, pictures, options.out)
        if "bits" in options.only:
            extra |= draw_bits(simulator, pictures, options.out)
        if "budgets" in options.only:
            extra |= draw_budgets(evaluation, options.out)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here")
        return 130
    facts = [
        f"{len(pictures)} pictures of {pictures.name}",
        f"weights {simulator.name}: C = {simulator.profile.channels}, AM/GM {simulator.profile.am_gm_db:.1f} dB "
        "(the most that unequal bits can win over equal ones)",
        f"seed {options.seed}; `python tools/reproduce.py" + (f" --limit {options.limit}`" if options.limit else "`"),
    ]
    print(f"wrote {report.write(options.out, facts, items, rows, files, overhead, extra)}")
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except (SourceError, TableError, WeightsError, OSError) as error:
        print(f"reproduce: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)
