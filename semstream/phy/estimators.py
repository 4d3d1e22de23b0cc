"""Channel estimation from pilots: least squares and linear MMSE, with the error of the estimate.

Every estimate is linear in the gains g of the pilots, ĥ = W·g with g = h + n/p. Its mean squared error is
C_kk − 2 Re(W C_pk) + W (C_pp + σ²I) Wᴴ, where C is what `semstream.phy.statistics` knows. `ls` takes W for averages and
straight lines between pilots; `mmse` takes the W of least error, C_kp (C_pp + σ²I)⁻¹.

A receiver that holds ĥ sees y = ĥ·s + (h − ĥ)·s + n: the error is noise of variance E|h − ĥ|² at unit symbol power,
and is told to the decoder as such.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from semstream.phy.channel import ChannelError
from semstream.phy.pilots import PilotPattern
from semstream.phy.statistics import BlockFading, MovingFading, Statistics

Method = Literal["ls", "mmse"]
WINDOW = 31
"""Pilots in time that an estimate of a moving channel looks at; OFDM symbols: a quarter of it."""
_FLOOR = 1e-8  # keeps covariances of noiseless pilots invertible

Complex = NDArray[np.complex128]
Float = NDArray[np.float64]


class Estimate(NamedTuple):
    """Gains ĥ (N,) of the symbols, and E|h − ĥ|² of each."""

    gains: Complex
    error_variance: Float


def estimate(
    pilots: Complex, pattern: PilotPattern, count: int, statistics: Statistics, noise_variance: float, method: str
) -> Estimate:
    """Gains of `count` symbols from the gains of their pilots.

    Parameters
    ----------
    pilots
        y/p of each pilot, of `PilotPattern.gains`.
    pattern
        Where they stand.
    count
        Symbols N.
    statistics
        What is known of the channel.
    noise_variance
        σ² of the noise on a pilot's gain.
    method
        ``ls`` or ``mmse``.

    Raises
    ------
    ChannelError
        If there is no such method, or a block of the channel has no pilot to tell of it.
    """
    if method not in get_args(Method):
        raise ChannelError(f"estimator: expected one of {', '.join(get_args(Method))}, got {method!r}")
    noise = max(noise_variance, _FLOOR)
    if isinstance(statistics, MovingFading):
        found = _moving(pilots[: pattern.tiles(count)], pattern, statistics, noise, method)
        places = pattern.symbol_places(count)
        return Estimate(found.gains.reshape(-1)[places], found.error_variance.reshape(-1)[places])
    return _blocks(pilots, pattern, count, statistics, noise, method)


def _blocks(
    pilots: Complex, pattern: PilotPattern, count: int, statistics: BlockFading, noise: float, method: str
) -> Estimate:
    """Block fading: pilots of a block that see one gain are averaged first, which loses nothing.

    The gains of block b are m + z_b, m common to all. Given m the blocks are independent, so that m and then each z_b
    are estimated in closed form; the error of m spreads to the blocks by what z_b leaves of it. Blocks whose pilots
    stand alike share their weights.
    """
    places = pattern.symbol_places(count)
    heard_at = pattern.pilot_places(count)[: len(pilots)]
    of_pilot = (heard_at + statistics.lead) // statistics.length
    block = (places + statistics.lead) // statistics.length
    blocks = 1 + int(max(block.max(initial=0), of_pilot.max(initial=0)))
    heard = np.bincount(of_pilot.reshape(-1), minlength=blocks)
    alone = method == "ls" or statistics.direct == 0 or statistics.phase_noise > 0
    if alone and not heard[np.unique(block)].all():
        raise ChannelError(
            f"coherence: a fade of {statistics.length} channel uses is not heard by pilots every {pattern.width}; "
            f"make it at least as long, as 'frame' is, or raise the share of pilots"
        )
    if statistics.phase_noise:
        return _turning_blocks(pilots, pattern, count, statistics, noise, method)
    at = np.arange(pattern.width) if statistics.multipath is not None else np.zeros(1, np.intp)
    column = heard_at % pattern.width if statistics.multipath is not None else np.zeros_like(heard_at)
    number, means = np.zeros((blocks, at.size)), np.zeros((blocks, at.size), np.complex128)
    np.add.at(number, (of_pilot, column), 1)
    np.add.at(means, (of_pilot, column), pilots)
    means /= np.maximum(number, 1)

    direct = statistics.direct
    kinds: list[_Kind] = []
    spread, common = 0.0, 0j
    alike, which = np.unique(number, axis=0, return_inverse=True)
    for row in np.flatnonzero(alike.any(axis=1)):
        told = np.flatnonzero(alike[row])
        kind = _kind(statistics, at, told, noise / alike[row, told], pattern.width, method)
        kinds.append(kind._replace(blocks=np.flatnonzero(which.reshape(-1) == row)))
        if method == "mmse":
            members = means[kinds[-1].blocks][:, told]
            spread += float(kind.row.sum().real) * len(members)
            common += complex(np.sum(members @ kind.row))
    common_error = direct / (1 + direct * spread)
    common *= common_error

    gains = np.full((blocks, at.size), common)
    error = np.full((blocks, at.size), 1 - direct + common_error)
    for kind in kinds:
        left = 1 - kind.weights.sum(axis=1) if method == "mmse" else np.zeros(at.size)  # of the common part
        gains[kind.blocks] = means[kind.blocks][:, kind.told] @ kind.weights.T + left * common
        # What a line makes of the common part is exact: its weights add up to 1.
        error[kind.blocks] = kind.error + np.abs(left) ** 2 * common_error
    own = places % pattern.width if statistics.multipath is not None else np.zeros(count, np.intp)
    return Estimate(gains[block, own], error[block, own])


class _Kind(NamedTuple):
    """Blocks whose pilots stand on the columns `told`, as many on each: weights, their errors, the weights for m."""

    told: NDArray[np.intp]
    weights: NDArray[np.inexact]
    error: Float
    row: Complex
    blocks: NDArray[np.intp]


def _kind(
    statistics: BlockFading, at: NDArray[np.intp], told: NDArray[np.intp], noise: Float, width: int, method: str
) -> _Kind:
    among, across = _covariances(statistics, at, told)
    inverse = np.linalg.inv(among + noise * np.eye(told.size))
    weights = _circular_lines(at, told, width) if method == "ls" else across @ inverse
    error = _error(weights, among, across, 1 - statistics.direct, noise)
    return _Kind(told, weights, error, inverse.sum(axis=0), told)


def _turning_blocks(
    pilots: Complex, pattern: PilotPattern, count: int, statistics: BlockFading, noise: float, method: str
) -> Estimate:
    """Block fading of a flat channel whose phase wanders within a block: each block by its own pilots."""
    time, heard_at = pattern.symbol_places(count) + statistics.lead, pattern.pilot_places(count)[:, 0] + statistics.lead
    inner = MovingFading(phase_noise=statistics.phase_noise)
    gains, error = np.empty(count, np.complex128), np.empty(count)
    for first in np.unique(time // statistics.length) * statistics.length:
        mine, told = slice(*np.searchsorted(time, (first, first + statistics.length))), heard_at - first
        told_by = (told >= 0) & (told < statistics.length)
        at, there = time[mine], heard_at[told_by]
        among, across = inner.correlation(there[:, None] - there), inner.correlation(at[:, None] - there)
        w = _lines(at, there) if method == "ls" else across @ np.linalg.inv(among + noise * np.eye(there.size))
        gains[mine] = w @ pilots[told_by, 0]
        error[mine] = _error(w, among, across, 1.0, noise)
    return Estimate(gains, error)


def _covariances(statistics: BlockFading, at: NDArray[np.intp], offsets: NDArray[np.intp]) -> tuple[Complex, Complex]:
    """C_pp and C_kp of the part that is drawn anew for each block."""
    power = 1 - statistics.direct
    if statistics.multipath is None:
        return np.full((1, 1), power, np.complex128), np.full((at.size, 1), power, np.complex128)
    pilot, all_ = statistics.multipath.frequencies(offsets), statistics.multipath.frequencies(at)
    between = statistics.multipath.correlation
    return power * between(pilot[:, None] - pilot), power * between(all_[:, None] - pilot)


def _moving(pilots: Complex, pattern: PilotPattern, statistics: MovingFading, noise: float, method: str) -> Estimate:
    """A channel that moves: each tile (T, width) from the pilots of a window of tiles around it."""
    tiles, number = pilots.shape
    if not tiles:
        return Estimate(np.zeros((0, pattern.width), np.complex128), np.zeros((0, pattern.width)))
    window, turn = min(tiles, WINDOW // 4 if pattern.ofdm else WINDOW), len(pattern.shifts)
    tile, at = np.repeat(np.arange(window), number), np.arange(pattern.width)
    starts = np.clip(np.arange(tiles) - window // 2, 0, tiles - window)
    relative = np.arange(tiles) - starts
    heard = np.lib.stride_tricks.sliding_window_view(pilots.reshape(-1), window * number)[::number]
    gains, error = np.empty((tiles, pattern.width), np.complex128), np.empty((tiles, pattern.width))
    for first in np.unique(starts % turn):  # where the pilots of the window stand
        offsets = pattern.columns(first + np.arange(window))
        time, column = _coordinates(pattern, statistics, tile, offsets.reshape(-1))
        among = statistics.correlation(time[:, None] - time, column[:, None] - column)
        inverse = np.linalg.inv(among + noise * np.eye(time.size)) if method == "mmse" else None
        for r in np.unique(relative[starts % turn == first]):
            here, there = _coordinates(pattern, statistics, np.full(at.size, r), at)
            across = statistics.correlation(here[:, None] - time, there[:, None] - column)
            if inverse is not None:
                w = across @ inverse
            elif pattern.ofdm:
                w = np.zeros(across.shape)
                w[:, tile == r] = _circular_lines(at, offsets[r], pattern.width)
            else:
                w = _lines(here, time)
            mine = (relative == r) & (starts % turn == first)
            gains[mine] = heard[starts[mine]] @ w.T
            error[mine] = _error(w, among, across, 1.0, noise)
    return Estimate(gains, error)


def _coordinates(
    pattern: PilotPattern, statistics: MovingFading, tile: NDArray[np.intp], offset: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Time in channel uses, and frequency in subcarriers, of places in tiles."""
    if statistics.multipath is None or not pattern.ofdm:
        return tile * pattern.width + offset, np.zeros_like(offset)
    return tile * pattern.period, statistics.multipath.frequencies(offset)


def _error(w: NDArray[np.inexact], among: Complex, across: Complex, power: float, noise: float | Float) -> Float:
    """Mean squared error of ĥ = W·g a row, never below 0; `noise` is of all pilots or of each."""
    cross = np.einsum("kp,kp->k", w, np.conj(across)).real
    own = np.einsum("kp,pq,kq->k", w, among + noise * np.eye(among.shape[0]), np.conj(w)).real
    return np.maximum(power - 2 * cross + own, 0.0)


def _lines(at: NDArray[np.intp], pilots: NDArray[np.intp]) -> Float:
    """Weights (K, P) of straight lines between rising places, held beyond the ends."""
    return np.stack([np.interp(at, pilots, unit) for unit in np.eye(pilots.size)], axis=1)


def _circular_lines(at: NDArray[np.intp], pilots: NDArray[np.intp], period: int) -> Float:
    """Weights (K, P) of straight lines between places on a circle, as subcarriers are."""
    return np.stack([np.interp(at, pilots, unit, period=period) for unit in np.eye(pilots.size)], axis=1)
