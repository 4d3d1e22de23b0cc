"""One resource in whole units, divided for the greatest total value: a multiple-choice knapsack, solved exactly.

Greedy marginal return (the unit goes where it raises the value most) is optimal where every curve is concave. Measured
curves have steps (a group of channels of features that only helps as a whole), so the dynamic programme of
`semstream.quantize.knapsack` takes its place: R. Bellman, "Dynamic Programming", 1957, here a user at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def divide(values: Sequence[Float], prices: Sequence[int], total: int) -> list[int]:
    """Units of each user: all of `total` that can be given, in the way of greatest Σ values[u][units_u].

    Nothing is kept back, though a user may be better off with less: more channels at the same energy can be too many.

    Parameters
    ----------
    values
        Of each user (n_u + 1,): the value of 0, 1, … n_u units; −inf where so few are not allowed.
    prices
        Of each user, what a unit costs, whole and > 0.
    total
        What there is.

    Returns
    -------
    Units of each user, Σ prices[u]·units_u <= total.

    Raises
    ------
    ValueError
        If what must be given at least costs more than there is.
    """
    unit = math.gcd(*prices)
    room = total // unit
    best = np.full(room + 1, -np.inf)
    best[0] = 0.0
    chosen: list[NDArray[np.intp]] = []
    at = np.arange(room + 1)
    for row, price in zip(values, prices, strict=True):
        most = min(len(row) - 1, room * unit // price)
        left = at[None, :] - (np.arange(most + 1) * (price // unit))[:, None]
        candidates = np.where(left >= 0, best[np.maximum(left, 0)] + row[: most + 1, None], -np.inf)
        choice = np.argmax(candidates, axis=0)
        chosen.append(choice)
        best = candidates[choice, at]
    given = np.flatnonzero(np.isfinite(best))
    if given.size == 0:
        raise ValueError(f"{total} are fewer than what must be given at least")
    room = int(given[-1])
    units = [0] * len(values)
    for u in range(len(values) - 1, -1, -1):
        units[u] = int(chosen[u][room])
        room -= units[u] * (prices[u] // unit)
    return units


def level(floors: Sequence[int], mosts: Sequence[int], prices: Sequence[int], total: int, first: int = 0) -> list[int]:
    """Units as equal as they can be in what they cost: the next one goes to whoever has least, as long as one fits.

    Parameters
    ----------
    floors, mosts
        Least and most units of each user.
    first
        Of equals, the user that comes first; those behind it follow, around the end.
    """
    units = list(floors)
    left = total - sum(n * price for n, price in zip(units, prices, strict=True))
    turn = [(u - first) % len(units) for u in range(len(units))]
    while True:
        open_to = [u for u in range(len(units)) if units[u] < mosts[u] and prices[u] <= left]
        if not open_to:
            return units
        u = min(open_to, key=lambda u: (units[u] * prices[u], turn[u]))
        units[u] += 1
        left -= prices[u]
