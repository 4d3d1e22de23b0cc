"""Measure the link on pictures: quality against SNR, bits and schemes, beside baselines.

    python tools/evaluate.py --images pictures/ --channel awgn --snr 1 4 7 10 13 --bits 8 --scheme optimal \\
        --out results.csv
    python tools/evaluate.py --images cifar10.npz --bits 2 3 4 --snr inf 13 --scheme optimal fixed uniform paper
    python tools/evaluate.py --images cifar10.npz --modulation pam qam-uncoded qam-unequal qam-ldpc capacity \\
        --design-snr 7 --figures figures/
    python tools/evaluate.py --images cifar10.npz --channel rayleigh composite --coherence 64 --csi perfect estimated
    python tools/evaluate.py --images cifar10.npz --snr 10 --scheme optimal none --copies folded \\
        --cbr 1/12 1/6 1/4 1/3 1/2
    python tools/evaluate.py --images pictures/ --scheme none --baselines jpeg webp avif linear --out baselines.csv

Each case is one row of --out; the same command goes on where it was stopped. The same seed gives the same rows.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This folder has a profile.py, the name of a standard module, which PyTorch imports.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import argparse
from fractions import Fraction

from semstream.codec.checkpoint import WeightsError
from semstream.data.sequence import SourceError
from tools.evaluation import case as cases_of
from tools.evaluation.case import CaseError, make_cases
from tools.evaluation.figures import METRICS, plot_lines
from tools.evaluation.pictures import open_pictures
from tools.evaluation.run import Evaluation
from tools.evaluation.simulate import Simulator
from tools.evaluation.table import Results, Row, TableError, losses, text_table


def ratio(text: str) -> float:
    """A ratio, as 1/6 or 0.1667."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"expected a ratio, as 1/6 or 0.1667, got {text!r}") from None


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--images", default="", help="folder of pictures, .npz with x_test, CIFAR, Tiny ImageNet; empty: scikit-image's"
    )
    add("--channel", nargs="+", choices=cases_of.CHANNELS, default=["awgn"])
    add("--snr", nargs="+", type=float, default=[1, 4, 7, 10, 13], help="Es/N0 in dB; inf: error-free")
    add("--bits", nargs="+", type=float, default=[8], help="budgets in bits a feature")
    add(
        "--scheme",
        nargs="+",
        choices=cases_of.SCHEMES,
        default=["optimal"],
        help="paper: m = 3, 5 : 3 : 2, fixed point",
    )
    add("--quantizer", nargs="+", choices=cases_of.QUANTIZERS, default=["lloyd_max"])
    add("--contribution", nargs="+", choices=cases_of.CONTRIBUTIONS, default=["sensitivity"])
    add("--classes", type=int, default=0, help="classes m by contribution; 0: a class a channel")
    add("--dequantize", nargs="+", choices=cases_of.MODES, default=["linear"])
    add(
        "--modulation",
        nargs="+",
        choices=cases_of.MODULATIONS,
        default=["pam"],
        help="pam: --bits a feature; qam-…: bits that fill pam's channel uses; capacity: an ideal code's bits",
    )
    add("--design-snr", type=float, help="SNR that qam formats are made for; default: each SNR its own")
    add("--csi", nargs="+", choices=cases_of.CSI, default=["perfect"], help="both: on the same pilots and noise")
    add("--pilots", type=float, default=0.1, help="share of channel uses, where CSI is estimated")
    add("--coherence", default="symbol", help="channel uses over which a fade holds, or symbol or frame")
    add("--interleave", action="store_true", help="spread each fade over the picture")
    add(
        "--cbr",
        nargs="+",
        type=ratio,
        default=[0.0],
        help="channel bandwidth ratios to fill, as 1/6 or 0.1; bits are then those of a feature sent; 0: each once",
    )
    add(
        "--copies",
        nargs="+",
        choices=cases_of.COPIES,
        default=["none"],
        help="what fills --cbr beside features sent once; folded may also leave weak ones out",
    )
    add("--baselines", nargs="+", choices=cases_of.BASELINES, default=[], help="on the same channel uses")
    add("--weights", nargs="+", default=[""], help="names of shipped weights or files; several are compared")
    add("--lpips", choices=("auto", "vgg", "alex", "squeeze", "off"), default="auto", help="backbone of LPIPS")
    add("--lpips-weights", default="", help="file with the backbone's weights; empty: PyTorch's cache")
    add("--size", type=int, default=0, help="fit every picture to this side; 0: as they are")
    add("--limit", type=int, default=0, help="at most so many pictures; 0: all")
    add("--seed", type=int, default=0, help="seed of the noise")
    add("--device", default="cpu", help="PyTorch device")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of the networks")
    add("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    add(
        "--figures", type=Path, help="folder for figures: quality against SNR, and against bits where there are several"
    )
    add("--out", type=Path, help="CSV of the results; the same command goes on from it")
    return parser.parse_args()


def draw(rows: list[Row], folder: Path) -> list[Path]:
    """Quality against SNR (a panel a channel), and against bits and CBR (a panel a channel and SNR); the files."""
    several = len({row["weights"] for row in rows if row["weights"]}) > 1
    made = []

    def words(row: Row, with_bits: bool, with_cbr: bool = True) -> str:
        kinds = {"lloyd_max": "Lloyd-Max", "fixed_point": "fixed point"}
        parts = [
            "unquantized" if row["scheme"] == "none" else row["scheme"],
            kinds.get(row["quantizer"], row["quantizer"]),
        ]
        parts += [row["modulation"]] if row["modulation"] not in (None, "", "pam") else []
        parts += [f"{row['budget_bits']:g} bits"] if with_bits and row["budget_bits"] else []
        parts += [f"CBR {row['asked_cbr']:.3g}"] if with_cbr and row["asked_cbr"] else []
        parts += [row["copies"]] if row["copies"] not in ("", "none") else []
        parts += [f"{row['csi']} CSI"] if row["pilots"] else []
        parts += [row["weights"]] if several else []
        return ", ".join(part for part in parts if part)

    for metric in METRICS:
        if not any(row[metric] is not None for row in rows):
            continue
        panels = {channel: [r for r in rows if r["channel"] == channel] for channel in {r["channel"]: 0 for r in rows}}
        made.append(folder / f"{metric}_vs_snr.png")
        plot_lines(panels, made[-1], lambda row: words(row, True), metric=metric)
        budgets = [row for row in rows if row["budget_bits"]]
        if len({row["budget_bits"] for row in budgets}) > 1:
            panels = {}
            for row in budgets:
                panels.setdefault(f"{row['channel']}, {row['snr_db']:g} dB", []).append(row)
            made.append(folder / f"{metric}_vs_bits.png")
            plot_lines(panels, made[-1], lambda row: words(row, False), "budget_bits", metric)
        rates = [row for row in rows if row["asked_cbr"]]
        if len({row["asked_cbr"] for row in rates}) > 1:
            panels = {}
            for row in rates:
                panels.setdefault(f"{row['channel']}, {row['snr_db']:g} dB", []).append(row)
            made.append(folder / f"{metric}_vs_cbr.png")
            plot_lines(panels, made[-1], lambda row: words(row, True, False), "asked_cbr", metric)
    return made


def main() -> int:
    """Measure and print; 0, or 130 after Ctrl-C."""
    options = arguments()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    cases = make_cases(
        options.channel, options.snr, options.scheme, options.bits, options.quantizer, options.contribution,
        options.dequantize, options.classes, options.baselines, options.modulation, options.design_snr, options.csi,
        options.pilots, options.coherence, options.interleave, options.cbr, options.copies,
    )  # fmt: skip
    results = Results(options.out)
    pictures = open_pictures(options.images, options.limit, options.size)
    lpips = None
    if options.lpips != "off":
        from semstream.metrics.perceptual import Lpips

        lpips = Lpips(options.lpips, weights_file=options.lpips_weights or None)
        print(lpips.said, file=sys.stderr)
        lpips = lpips if lpips.available else None
    rows, bound, interrupted = [], [], False
    try:
        for weights in options.weights:
            simulator = Simulator(weights, options.seed, options.device, options.precision, lpips)
            bound.append(f"{simulator.name} {simulator.profile.am_gm_db:.1f} dB")
            rows += Evaluation(simulator, pictures, results).measure(cases)
    except KeyboardInterrupt:
        interrupted = True
    if rows:
        print(text_table(rows))
        if lost := losses(rows):
            print(lost)
    print(
        f"{len(pictures)} pictures of {pictures.name}; the most that unequal bits can win (AM/GM): {', '.join(bound)}"
    )
    for line in pictures.skipped:
        print(f"left out: {line}", file=sys.stderr)
    if options.out:
        print(f"wrote {options.out}")
    if options.figures and rows:
        for path in draw(rows, options.figures):
            print(f"wrote {path}")
    if interrupted:
        print("interrupted: the same command goes on from here" if options.out else "interrupted")
        return 130
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except (CaseError, SourceError, TableError, WeightsError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)
