"""The gain of a frame's symbols from all that is known in it: steady where it is, followed where it moves.

    y·p* at the known symbols ─┬─ lines through some pilots (`waveform.PilotComb`) ─────────────── moves ─► gain
                               └─ one gain and one frequency for all known symbols (ML) ─ steady ─►

A gain from all known symbols has a small part of the error that one from a few pilots has. An amplitude needs it: what
is left of the error lies on whole stretches of a frame, where the picture shows it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.phy.channel import Reception
from semstream.phy.waveform import PilotComb, heard_through, known_symbols

STEADY = 3.0
"""Power of what lies between the two gains, in variances of the one from a few pilots, up to which it is its error."""
_ROUNDS = 4

Symbols = NDArray[np.complex64]
Mask = NDArray[np.bool_]
Complex128 = NDArray[np.complex128]
Float64 = NDArray[np.float64]


class Steady(NamedTuple):
    """One gain and frequency for a whole frame.

    Attributes
    ----------
    gain
        (M,) at the places asked for.
    error
        (M,) variance of its error as a share of the noise variance.
    """

    gain: Complex128
    error: Float64


def track(
    symbols: Symbols, good: Mask, opening: Symbols, comb: PilotComb, count: int, noise_variance: float
) -> Reception:
    """The symbols of a frame's body with their gains.

    Parameters
    ----------
    symbols, good
        (N,) the whole frame as it was received at a gain of about 1, and which of it are to be trusted.
    opening
        (K,) what is known to have been sent first.
    comb
        The pilots behind that.
    count
        Symbols of the body, pilots not counted.
    noise_variance
        σ² of the complex noise on a symbol.
    """
    first = opening.size
    body = symbols[first:]
    followed = comb.receive(body, good[first:], count, noise_variance)
    pilots = comb.places(count)
    payload = np.ones(body.size, bool)
    payload[pilots] = False
    at = first + np.flatnonzero(payload)
    known = np.concatenate([opening, known_symbols(pilots.size)])  # by which the gain shows
    where = np.concatenate([np.arange(first), first + pilots])
    heard = good[where]
    if np.count_nonzero(heard) < 8:
        return followed
    trusted = good[at] & (followed.csi != 0)
    if np.count_nonzero(trusted) < 2:
        return followed
    near = float(np.polyfit(at[trusted], np.unwrap(np.angle(followed.csi[trusted])), 1)[0]) / (2 * np.pi)
    steady = _steady(symbols[where[heard]] * np.conj(known[heard]), where[heard], at, near)
    apart = np.abs(steady.gain - followed.csi)[trusted] ** 2
    error = noise_variance * comb.error(count)
    if float(apart.mean()) > STEADY * error:
        return followed
    return heard_through(body[payload], np.where(trusted, steady.gain, 0), steady.error, noise_variance)


def _steady(
    values: NDArray[np.complexfloating], where: NDArray[np.intp], at: NDArray[np.intp], frequency: float
) -> Steady:
    """Maximum likelihood of g·exp(2πi f n) in white noise, near a frequency, for values (K,) at uneven places."""
    middle = float(where.mean())
    n, reach = where - middle, int(where[-1] - where[0] + 1)
    for _ in range(_ROUNDS):
        still = values * np.exp(-2j * np.pi * frequency * n)
        moments = [complex(np.sum(still * (-2j * np.pi * n) ** order)) for order in range(3)]
        slope = 2 * (moments[1] * moments[0].conjugate()).real
        curve = 2 * (moments[2] * moments[0].conjugate()).real + 2 * abs(moments[1]) ** 2
        if not curve < 0:
            break
        frequency -= float(np.clip(slope / curve, -0.25 / reach, 0.25 / reach))
    gain = complex(np.mean(values * np.exp(-2j * np.pi * frequency * n)))
    away = at - middle
    error = 1 / n.size + 0.5 * away**2 / max(float(np.sum(n**2)), 1.0)
    return Steady(gain * np.exp(2j * np.pi * frequency * away), np.asarray(error, np.float64))
