"""The curve that an evaluation expects: rows of `tools/evaluate.py` in ``semstream/weights/NAME.csv``."""

from __future__ import annotations

import csv
import math
from pathlib import Path

SCHEME_OF_BRANCH = {"non-uniform": "optimal", "unquantized": "none"}


def read_expected(weights: str) -> list[dict[str, str]]:
    """Rows of the evaluation of some weights; none where there is no such file or it cannot be read."""
    from semstream.codec.checkpoint import WeightsError, weights_path

    try:
        path: Path = weights_path(weights).with_suffix(".csv")
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if row.get("psnr_db") and row.get("snr_db")]
    except (WeightsError, OSError, UnicodeDecodeError, csv.Error):
        return []


def expected_curve(
    rows: list[dict[str, str]], branch: str, channel: str, bits: float | None, metric: str = "psnr_db"
) -> list[tuple[float, float]]:
    """(SNR, metric) of a branch over a channel at the evaluated budget nearest to `bits`, by SNR, without infinity."""
    scheme = SCHEME_OF_BRANCH.get(branch, branch)
    found = [r for r in rows if r.get("scheme") == scheme and r.get("channel") == channel and r.get(metric)]
    try:
        if scheme != "none" and bits is not None and found:
            nearest = min({float(r["budget_bits"]) for r in found}, key=lambda b: abs(b - bits))
            if abs(nearest - bits) > 0.5:
                return []
            found = [r for r in found if float(r["budget_bits"]) == nearest]
        points = {float(r["snr_db"]): float(r[metric]) for r in found}
    except (KeyError, ValueError):
        return []
    return sorted((snr, value) for snr, value in points.items() if math.isfinite(snr))
