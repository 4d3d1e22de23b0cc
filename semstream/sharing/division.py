"""Dividing one band among its users: channel uses, energy and bits, equally or by a rule of `semstream.sharing.rules`.

One resource alone is divided exactly (`semstream.sharing.programme`). The three in turn climb together: each division
holds the other two, none lowers the total, and where the curves are concave and smooth the top of the climb is the
optimum (D. P. Bertsekas, "Nonlinear Programming", 2.7: block coordinate ascent over a product of convex sets).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.sharing.curve import PLENTY, QualityCurve
from semstream.sharing.programme import divide, level
from semstream.sharing.rules import RULES, Worth, score, worths

Float = NDArray[np.float64]
GRAINS = 16
"""Equal shares of energy and bits are cut into so many units."""
_TURNS = 5
"""Rounds of a climb at most."""


class SharingError(ValueError):
    """A band that cannot be divided: says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Band:
    """What there is for one frame of all users.

    Attributes
    ----------
    uses
        Complex channel uses.
    power
        Mean power of a channel use: the energy is power·uses.
    bits
        Payload bits; 0: no limit but the plenty that a feature can use.
    """

    uses: int
    power: float = 1.0
    bits: int = 0

    @property
    def energy(self) -> float:
        """Energy of one frame of all users."""
        return self.power * self.uses


@dataclass(frozen=True, slots=True)
class Share:
    """What one user gets for one frame.

    Attributes
    ----------
    channels, uses
        Channels of features, and the channel uses that they take. 0: this frame is not sent.
    energy
        Of its symbols together.
    bits
        Payload bits at most.
    clipped
        Channel uses that it has asked for at least and that there are not.
    psnr_db
        Expected; −inf where nothing is sent.
    """

    channels: int
    uses: int
    energy: float
    bits: float
    clipped: int
    psnr_db: float


def share(curves: Sequence[QualityCurve], band: Band, rule: str = "max_min", turn: int = 0) -> list[Share]:
    """Divide a band among the users who have something to send.

    Parameters
    ----------
    curves
        Of each user.
    rule
        One of `RULES`.
    turn
        Where the band has no room for a channel of features of each user, or a left-over one that nobody is owed, it
        goes round: the number of the frame.

    Returns
    -------
    Of each user. Together they take no more than the band has, and all of its energy.

    Raises
    ------
    SharingError
        If the rule is unknown or the band has no energy.
    """
    if rule not in RULES:
        raise SharingError(f"rule: expected one of {', '.join(RULES)}, got {rule!r}")
    if band.uses < 0 or not 0 < band.power < np.inf or band.bits < 0:
        raise SharingError(f"band: expected uses >= 0, power > 0 and bits >= 0, got {band}")
    served, floors, clipped = _admitted(curves, band, turn)
    if not served:
        return [Share(0, 0, 0.0, 0.0, c, -np.inf) for c in clipped]
    chosen = [curves[u] for u in served]
    equal, first, second = (_Division(chosen, [floors[u] for u in served], band, turn) for _ in range(3))
    division = equal
    if rule != "equal":
        # Curves with steps have several tops; the climb from another start may end on a higher one.
        second.together(worths(rule)[-1])
        for start in (first, second):
            for worth in worths(rule):
                start.climb(worth)
        division = max(equal, first, second, key=lambda d: score(rule, d.psnr_db(), d.equal))
    found = dict(zip(served, division.shares(), strict=True))
    nothing = (0, 0, 0.0, 0.0, -np.inf)
    parts = [found.get(u, nothing) for u in range(len(curves))]
    return [Share(k, uses, e, b, c, q) for (k, uses, e, b, q), c in zip(parts, clipped, strict=True)]


def _admitted(curves: Sequence[QualityCurve], band: Band, turn: int) -> tuple[list[int], list[int], list[int]]:
    """Users who can be served, least channels of each, and what each has asked for beyond what there is.

    Everybody gets one channel of features before anybody gets what he asks for. Where there is less than all ask for
    together, what they get is levelled: who asks for little gets it, and who asks for the most is clipped.
    """
    count = len(curves)
    order = [(u + turn) % count for u in range(count)] if count else []
    prices = [curve.report.price for curve in curves]
    left, bits_left = band.uses, band.bits or np.inf
    served, floors = [], [0] * count
    for u in order:
        if prices[u] <= left and curves[u].bits_of_one <= bits_left:
            served.append(u)
            floors[u] = 1
            left -= prices[u]
            bits_left -= curves[u].bits_of_one
    if served:
        room = band.uses
        if band.bits:
            room = min(room, int(band.bits / max(curves[u].bits_of_one / prices[u] for u in served)))
        wanted = [
            min(-(-curve.report.least // price), curve.channels) for curve, price in zip(curves, prices, strict=True)
        ]
        mosts = [max(floor, most) if floor else 0 for floor, most in zip(floors, wanted, strict=True)]
        floors = level(floors, mosts, prices, room, turn % count)
    clipped = [max(0, c.report.least - n * price) for c, n, price in zip(curves, floors, prices, strict=True)]
    return sorted(served), floors, clipped


class _Division:
    """Where a climb stands: channels of each user, and its units of energy and bits."""

    def __init__(self, curves: Sequence[QualityCurve], floors: Sequence[int], band: Band, turn: int) -> None:
        self.curves = curves
        self.band = band
        self.floors = floors
        self.prices = [curve.report.price for curve in curves]
        count = len(curves)
        self.units = GRAINS * count
        self.energy = [GRAINS] * count
        self.bits = [GRAINS] * count
        self.channels = list(floors)
        least = self._least_bits()
        if band.bits and sum(least) <= self.units:  # who is promised channels gets the bits for them
            self.bits = level(least, [self.units] * count, [1] * count, self.units)
        self.channels = level(floors, self._mosts(), self.prices, band.uses, turn % count)
        self.equal = self.psnr_db()

    def quality(self, u: int, channels: ArrayLike, energy: ArrayLike, bits: ArrayLike) -> Float:
        """PSNR of a user by channels and units of energy and bits."""
        joules = self.band.energy / self.units * np.asarray(energy)
        return self.curves[u].psnr_db(channels, joules, self.payload(bits))

    def payload(self, units: ArrayLike) -> Float:
        """Bits of so many units; without a limit there are always enough."""
        return self.band.bits / self.units * np.asarray(units) if self.band.bits else np.full(np.shape(units), np.inf)

    def climb(self, worth: Worth) -> None:
        """Divide channels, energy and bits in turn until none of them changes."""
        for _ in range(_TURNS):
            before = (self.channels, self.energy, self.bits)
            self.channels = self._divided(
                list(zip(self.floors, self._mosts(), strict=True)),
                self.prices,
                self.band.uses,
                lambda u, k: self.quality(u, k, self.energy[u], self.bits[u]),
                worth,
            )
            rest = [(1, self.units - len(self.curves) + 1)] * len(self.curves)
            ones = [1] * len(self.curves)
            self.energy = self._divided(
                rest, ones, self.units, lambda u, e: self.quality(u, self.channels[u], e, self.bits[u]), worth
            )
            least = self._least_bits()
            if self.band.bits and sum(least) <= self.units:  # else there are no more than what must be
                self.bits = self._divided(
                    [(low, self.units) for low in least],
                    ones,
                    self.units,
                    lambda u, b: self.quality(u, self.channels[u], self.energy[u], b),
                    worth,
                )
            if before == (self.channels, self.energy, self.bits):
                return

    def together(self, worth: Worth) -> None:
        """Divide the band as one resource, energy and bits in proportion to the channel uses."""
        bounds = list(zip(self.floors, self._mosts(np.inf), strict=True))

        def quality(u: int, k: NDArray[np.int64]) -> Float:
            part = self.units * k * self.prices[u] / self.band.uses
            return self.quality(u, k, part, part)

        self.channels = self._divided(bounds, self.prices, self.band.uses, quality, worth)
        parts = [self.units * k * price / self.band.uses for k, price in zip(self.channels, self.prices, strict=True)]
        floors = [max(1, int(part)) for part in parts]
        self.energy = level(floors, [self.units] * len(floors), [1] * len(floors), self.units)
        self.bits = list(self.energy)
        self.channels = [min(pair) for pair in zip(self.channels, self._mosts(), strict=True)]

    def psnr_db(self) -> list[float]:
        """Expected PSNR of each user."""
        return [part[-1] for part in self.shares()]

    def _least_bits(self) -> list[int]:
        """Units of bits that the channels of each user need."""
        needed = [k * curve.bits_of_one for k, curve in zip(self.channels, self.curves, strict=True)]
        return [max(1, -(-bits * self.units // max(1, self.band.bits))) for bits in needed]

    def shares(self) -> list[tuple[int, int, float, float, float]]:
        """Channels, uses, energy, bits and expected PSNR of each user."""
        found = []
        for u, curve in self._each:
            bits = float(self.payload(self.bits[u]))
            k = int(curve.sent(self.channels[u], bits))
            quality = float(self.quality(u, self.channels[u], self.energy[u], self.bits[u])[0])
            energy = self.band.energy * self.energy[u] / self.units
            found.append((k, k * self.prices[u], energy, min(bits, PLENTY * k * curve.report.sites), quality))
        return found

    def _mosts(self, payload: float | None = None) -> list[int]:
        """Most channels of each user: those that there are, that the band has room for, that its bits can carry."""
        mosts = []
        for u, curve in self._each:
            bits = float(self.payload(self.bits[u])) if payload is None else payload
            most = min(curve.channels, self.band.uses // self.prices[u])
            mosts.append(max(self.floors[u], int(curve.sent(most, bits))))
        return mosts

    @property
    def _each(self) -> list[tuple[int, QualityCurve]]:
        return list(enumerate(self.curves))

    def _divided(
        self,
        bounds: Sequence[tuple[int, int]],
        prices: Sequence[int],
        total: int,
        quality: Callable[[int, NDArray[np.int64]], Float],
        worth: Worth,
    ) -> list[int]:
        """Units of each user of greatest total value, each within its bounds."""
        rows = [quality(u, np.arange(low, high + 1)) for u, (low, high) in enumerate(bounds)]
        values = worth(rows, self.equal)
        lows = [np.full(low, -np.inf) for low, _ in bounds]
        return divide([np.concatenate(pair) for pair in zip(lows, values, strict=True)], prices, total)
