"""Least total distortion within a budget of bits, a width a class: a multiple-choice knapsack.

Greedy marginal gain is optimal where every D_k(b) is convex and all classes are of one size. Measured curves are not
always convex (a fixed-point quantizer gains more from its second bit than from its first), so the greedy walks their
lower convex hulls, in steps of several bits where the hull says so. An exact dynamic programme takes its place where it
is affordable: always, when a class is a channel or a group of channels.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["greedy", "minimise"]

Float = NDArray[np.float64]
Int = NDArray[np.int64]
_AFFORDABLE = 4_000_000  # table entries of the dynamic programme, some 10 ms


def minimise(distortion: Float, sizes: Int, budget: int) -> NDArray[np.uint8]:
    """Bits b_k of least Σ_k n_k·D_k(b_k) with Σ_k n_k·b_k <= budget.

    Parameters
    ----------
    distortion : (K, B) mean distortion of a feature of class k at b = 0..B-1 bits.
    sizes : (K,) features a class; a class of none gets 0 bits.
    budget : bits.

    Returns
    -------
    (K,) uint8: exact where the dynamic programme is affordable, else the greedy's, filled up.
    """
    present = np.flatnonzero(sizes)
    cost, n = distortion[present] * sizes[present, None], sizes[present]
    unit = math.gcd(*(int(v) for v in n))
    units = min(budget // unit, int((n // unit).sum()) * (distortion.shape[1] - 1))
    exact = units * cost.size <= _AFFORDABLE
    found = _programme(cost, n // unit, units) if exact else greedy(cost, n, budget)
    bits = np.zeros(sizes.size, np.uint8)
    bits[present] = _filled(found, cost, n, budget)
    return bits


def _programme(cost: Float, weight: Int, units: int) -> Int:
    """Exact: best[u] is the least cost of the classes so far within u units."""
    best = np.zeros(units + 1)
    choices = np.zeros((len(cost), units + 1), np.uint8)
    for k, (row, w) in enumerate(zip(cost, weight, strict=True)):
        following = np.full(units + 1, np.inf)
        for b, value in enumerate(row):
            spent = int(b * w)
            if spent > units:
                break
            candidate = best[: units + 1 - spent] + value
            better = candidate < following[spent:]
            following[spent:][better] = candidate[better]
            choices[k, spent:][better] = b
        best = following
    bits = np.zeros(len(cost), np.int64)
    u = units
    for k in range(len(cost) - 1, -1, -1):
        bits[k] = choices[k, u]
        u -= int(bits[k] * weight[k])
    return bits


def _hull(row: Float) -> list[int]:
    """Widths on the lower convex hull of one falling curve, from 0 bits on."""
    corners = [0]
    while True:
        here = corners[-1]
        later = np.arange(here + 1, row.size)
        if later.size == 0:
            return corners
        gain = (row[here] - row[later]) / (later - here)
        if gain.max() <= 0:
            return corners
        corners.append(int(later[np.argmax(gain)]))


def greedy(cost: Float, sizes: Int, budget: int) -> Int:
    """Greedy marginal gain on the lower convex hulls: the steepest step that fits, until none does.

    `cost` is (K, B), a class's whole distortion. A class whose next step does not fit takes no further one.
    """
    steps = []
    for k, row in enumerate(cost):
        corners = _hull(row)
        for start, end in itertools.pairwise(corners):
            gain = (row[start] - row[end]) / ((end - start) * float(sizes[k]))
            steps.append((-gain, k, start, end))
    bits = np.zeros(len(cost), np.int64)
    left = budget
    for _gain, k, start, end in sorted(steps):
        price = (end - start) * int(sizes[k])
        if bits[k] == start and price <= left:
            bits[k] = end
            left -= price
    return bits


def _filled(bits: Int, cost: Float, sizes: Int, budget: int) -> Int:
    """Spend what is left on the widths that gain most a bit, as long as one fits and none raises the distortion."""
    bits = bits.copy()
    left = budget - int((bits * sizes).sum())
    width = np.arange(cost.shape[1])
    while True:
        more = width[None, :] - bits[:, None]
        price = more * sizes[:, None]
        drop = np.take_along_axis(cost, bits[:, None], axis=1) - cost
        usable = (more > 0) & (price <= left) & (drop >= 0)
        if not usable.any():
            return bits
        k, b = np.unravel_index(int(np.argmax(np.where(usable, drop / np.maximum(price, 1), -1.0))), cost.shape)
        left -= int(price[k, b])
        bits[k] = b
