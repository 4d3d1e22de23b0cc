"""The figures and tables of the paper as cases to measure, and how each is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from tools.evaluation.case import Case, make_cases
from tools.evaluation.figures import METRICS, Reference, plot_lines
from tools.evaluation.run import Evaluation
from tools.evaluation.table import Row
from tools.reproduction import paper

SNRS_DB = (1.0, 4.0, 7.0, 10.0, 13.0)
EIGHT = paper.BUDGETS["8-bit"]
RATES = (1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2)
RATE_SNR_DB = 10.0
NOTE_ON_BITS = "N-bit is N/3 bits a feature, as the paper's N bits are shared out over three classes."


@dataclass
class Item:
    """One figure or table of the paper.

    Attributes
    ----------
    name, title, text
        For the report; `text` says what the paper shows and what is ours.
    cases
        What is measured.
    draw
        Makes the item's pictures in a folder and returns their names.
    printed
        Published lines to set beside ours.
    """

    name: str
    title: str
    text: str
    cases: list[Case]
    draw: Callable[[list[Row], Path], list[str]] | None = None
    printed: Sequence[paper.Printed] = field(default_factory=tuple)


def label(row: Row) -> str:
    """Words for a line of a figure."""
    if row["scheme"] == "none":
        return "unquantized"
    names = {round(value, 4): name for name, value in paper.BUDGETS.items()}
    budget = names.get(round(row["budget_bits"], 4), f"{row['budget_bits']:g} bits a feature")
    words = {
        "paper": "the paper's 5:3:2, fixed point",
        "uniform": "uniform, Lloyd-Max" if row["quantizer"] == "lloyd_max" else "uniform, fixed point",
        "optimal": "ours, a class a channel",
    }
    return f"{budget}, {words.get(row['scheme'], row['scheme'])}"


def _figure(name: str, metric: str, channels: Sequence[str]) -> Callable[[list[Row], Path], list[str]]:
    def draw(rows: list[Row], folder: Path) -> list[str]:
        panels = {channel: [row for row in rows if row["channel"] == channel] for channel in channels}
        references = None
        if metric == "psnr_db" and name == "figure3":
            witt = {"awgn": paper.WITT_CIFAR_AWGN, "rayleigh": paper.WITT_CIFAR_RAYLEIGH}
            references = {c: [Reference("WITT (digitised), CIFAR-10", *witt[c])] for c in channels if c in witt}
        plot_lines(panels, folder / f"{name}.png", label, metric=metric, references=references)
        return [f"{name}.png"]

    return draw


def _three_metrics(name: str) -> Callable[[list[Row], Path], list[str]]:
    def draw(rows: list[Row], folder: Path) -> list[str]:
        made = []
        for metric in METRICS:
            if any(row[metric] is not None for row in rows):
                file = f"{name}_{metric}.png"
                plot_lines({rows[0]["channel"]: rows}, folder / file, label, metric=metric)
                made.append(file)
        return made

    return draw


def _rate_label(row: Row) -> str:
    sent = "unquantized" if row["scheme"] == "none" else f"{row['budget_bits']:g} bits"
    ways = {"none": "once each", "repeated": "repeated", "folded": "folded copies"}
    return f"{sent}, {ways[row['copies']]}"


def _rates(rows: list[Row], folder: Path) -> list[str]:
    possible = [row for row in rows if row["psnr_db"] is not None]
    panels = {
        f"awgn, {snr:g} dB": [r for r in possible if r["snr_db"] == snr] for snr in {r["snr_db"]: 0 for r in rows}
    }
    witt = Reference("WITT, a network a rate", *paper.WITT_CIFAR_CBR)
    references = {f"awgn, {RATE_SNR_DB:g} dB": [witt]}
    plot_lines(panels, folder / "rates.png", _rate_label, "asked_cbr", references=references)
    return ["rates.png"]


def _rate_item(snrs_db: Sequence[float]) -> Item:
    at = tuple(dict.fromkeys((RATE_SNR_DB, *snrs_db)))
    within, beyond = RATES[:-1], RATES[-1:]
    cases = make_cases(["awgn"], at, ("none", "optimal"), [8.0], cbrs=within, copies=("none", "folded"))
    cases += make_cases(["awgn"], at, ("none", "optimal"), [8.0], cbrs=beyond, copies=("repeated", "folded"))
    printed = ", ".join(f"{y:.2f} dB at {Fraction(x).limit_denominator(100)}"
                        for x, y in zip(*paper.WITT_CIFAR_CBR, strict=True))  # fmt: skip
    text = (
        "One set of weights at all rates: the most important channels of features, as many as fit, with all the power "
        "on them; what is left of the channel uses, or more of them than there are features, carries copies "
        f"(`semstream.codec.copies`). WITT trains a network for each rate: {printed} (CIFAR-10, AWGN at 10 dB, "
        "unquantized, digitised)."
    )
    return Item("rates", "Beyond the paper: PSNR against the channel bandwidth ratio", text, cases, _rates)


def study(rate_snrs_db: Sequence[float] = ()) -> dict[str, Item]:
    """Every item of the paper, by name, and `rates`; that at 10 dB and at `rate_snrs_db`."""
    two = ("awgn", "rayleigh")
    budgets = [paper.BUDGETS["10-bit"], paper.BUDGETS["6-bit"]]
    many = make_cases(two, SNRS_DB, ("none", "paper", "uniform", "optimal"), budgets)
    at_eight = make_cases(["awgn"], SNRS_DB, ("none", "paper", "uniform", "optimal"), [EIGHT])
    composite = make_cases(["composite"], SNRS_DB, ("none", "paper", "uniform", "optimal"), [EIGHT])
    items = [
        Item("figure3", "Figure 3: PSNR against SNR, AWGN and Rayleigh", NOTE_ON_BITS, many,
             _figure("figure3", "psnr_db", two)),
        Item("figure4", "Figure 4: MS-SSIM against SNR, AWGN and Rayleigh", NOTE_ON_BITS, many,
             _figure("figure4", "ms_ssim", two)),
        Item("figure5", "Figure 5: LPIPS against SNR, AWGN and Rayleigh", NOTE_ON_BITS, many,
             _figure("figure5", "lpips", two)),
        Item("figure6", "Figure 6: the three metrics at 8-bit, AWGN, uniform against non-uniform", NOTE_ON_BITS,
             at_eight, _three_metrics("figure6")),
        Item("figure7", "Figure 7: composite channel at 8-bit (the paper: CIFAR-100)", NOTE_ON_BITS, composite,
             _three_metrics("figure7")),
        Item("figure8", "Figure 8: composite channel at 8-bit (the paper: Tiny ImageNet)", NOTE_ON_BITS, composite,
             _three_metrics("figure8")),
        Item("table1", "Table 1: the three channels at 4 dB, 8-bit", "The paper: Tiny ImageNet.",
             make_cases(("awgn", "rayleigh", "composite"), [4.0], ("paper", "optimal"), [EIGHT]), None, paper.TABLE_1),
        Item("table2", "Table 2: what the contribution is, AWGN at 10 dB, 8-bit", _ABLATION,
             _ablation("awgn"), None, paper.TABLE_2),
        Item("table3", "Table 3: what the contribution is, composite channel at 10 dB, 8-bit", _ABLATION,
             _ablation("composite"), None, paper.TABLE_3),
        Item("table4", "Table 4: what non-uniform quantization costs", _OVERHEAD, []),
        _rate_item(rate_snrs_db),
    ]  # fmt: skip
    return {item.name: item for item in items}


_ABLATION = (
    "Proportional allocation over three classes by each contribution, Lloyd-Max levels. `sensitivity` is ours (Theorem "
    "1); `optimal` does not depend on the contribution, as it weighs measured distortion by sensitivity."
)
_OVERHEAD = (
    "Ours: the link in one process, a picture at a time, uniform against optimal; training: a step of stage 2 with "
    "either."
)


def _ablation(channel: str) -> list[Case]:
    methods = ("gradient", "sensitivity", "magnitude", "std")
    three = make_cases([channel], [10.0], ("proportional",), [EIGHT], contributions=methods, classes=3)
    return three + make_cases([channel], [10.0], ("optimal",), [EIGHT])


def measure(item: Item, evaluation: Evaluation) -> list[Row]:
    """Rows of an item; what another item or an earlier run measured is not measured again."""
    return evaluation.measure(item.cases)


def names() -> list[str]:
    """Names of all items, in the order of the paper."""
    return list(study())


def any_of(value: Any) -> str:
    """A cell of a table: a dash for what was not measured."""
    return "–" if value in (None, "") else f"{value:.4g}" if isinstance(value, float) else str(value)
