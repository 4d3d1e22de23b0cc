"""What a rule of division maximises: the sum over users of a concave worth of their PSNR.

``max_sum``: the PSNR itself; the greatest sum of dB is the greatest product of the users' signal to noise ratios.
``max_min``: −exp(−PSNR/τ), which for τ → 0 makes the worst user as good as can be (α-fairness: J. Mo and J. Walrand,
"Fair end-to-end window-based congestion control", IEEE/ACM Transactions on Networking 8(5), 2000). ``proportional``:
log of what a user gains over equal division, the bargaining solution of J. Nash (Econometrica 18(2), 1950), of which
proportional fairness is the case without a fallback: nobody is to lose, and gains are spread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Rule = Literal["equal", "max_min", "proportional", "max_sum"]
RULES: tuple[str, ...] = get_args(Rule)
Float = NDArray[np.float64]
Worth = Callable[[Sequence[Float], Sequence[float]], list[Float]]
"""Worth of PSNR values of each user, and the PSNR of each under equal division."""

SOFTNESS_DB = (4.0, 1.0, 0.25, 0.06)
"""τ of max_min, one after the other: a hard minimum at once would leave a climb no slope."""
_STEEPEST = 500.0
_LEAST_GAIN_DB = 0.1
_LOSS = 10.0
"""How much more a loss counts than the first gain."""


def worths(rule: str) -> list[Worth]:
    """What to climb by, one after the other."""
    if rule == "max_min":
        return [_soft_min(softness) for softness in SOFTNESS_DB]
    return [_bargain if rule == "proportional" else _plain]


def score(rule: str, psnr_db: Sequence[float], equal_db: Sequence[float]) -> float:
    """How good a division is by its rule."""
    if rule == "max_min":
        return min(psnr_db)
    rows = worths(rule)[-1]([np.array([value]) for value in psnr_db], equal_db)
    return float(sum(row[0] for row in rows))


def _plain(rows: Sequence[Float], equal: Sequence[float]) -> list[Float]:
    return list(rows)


def _soft_min(softness: float) -> Worth:
    def worth(rows: Sequence[Float], equal: Sequence[float]) -> list[Float]:
        worst = min(float(row.max()) for row in rows)  # as good as he can be: the exponent stays small there
        return [-np.exp(np.minimum((worst - row) / softness, _STEEPEST)) for row in rows]

    return worth


def _bargain(rows: Sequence[Float], equal: Sequence[float]) -> list[Float]:
    gains = [row - fallback for row, fallback in zip(rows, equal, strict=True)]
    return [
        np.where(gain >= 0, np.log1p(np.maximum(gain, 0) / _LEAST_GAIN_DB), _LOSS * gain / _LEAST_GAIN_DB)
        for gain in gains
    ]
