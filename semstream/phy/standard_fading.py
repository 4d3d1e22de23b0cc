"""Channels of 3GPP TR 38.901 that move: tapped and clustered delay lines (TDL, CDL), and flat fading with Doppler.

The models are those of Sionna (`sionna-no-rt`, the extra ``radio``), imported when the first one is made. Time is
counted in channel uses and frequency in cycles a channel use, so that no carrier and no bandwidth is needed. The random
numbers of a draw come from the caller's generator, not from Sionna's global one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from semstream.phy.channel import ChannelError, CompositeOptions
from semstream.phy.statistics import MovingFading, Multipath

MovingKind = Literal["doppler", "tdl", "cdl"]
MOVING_KINDS: tuple[str, ...] = get_args(MovingKind)
Profile = Literal["A", "B", "C", "D", "E"]
_CARRIER = 3e9  # Hz; speeds are set so that the Doppler shift is as asked, whatever it is
_LIGHT = 299792458.0
_SINUSOIDS = 20
_FLAT_SINUSOIDS = 4  # a cluster; the 23 clusters of TDL-A, with angles of their own, add up
_DIRECT_ANGLE = 0.7  # cosine between motion and direct path in Sionna's TDL


@dataclass(frozen=True)
class MovingOptions:
    """What moves.

    Attributes
    ----------
    kind
        ``doppler``: flat Rayleigh fading with Clarke's spectrum; ``tdl``, ``cdl``: multipath over CP-OFDM.
    doppler
        Largest Doppler shift in cycles a channel use, 0 to 0.5: speed / wavelength / symbol rate. In OFDM a channel use
        is a time sample, and a channel that turns within an OFDM symbol is taken as it is in its middle.
    profile
        Of ``tdl`` and ``cdl``: A to C without, D and E with a direct path.
    delay_spread
        RMS delay spread in samples.
    """

    kind: str = "doppler"
    doppler: float = 1e-3
    profile: str = "A"
    delay_spread: float = 0.7

    def __post_init__(self) -> None:
        if self.kind not in MOVING_KINDS:
            raise ChannelError(f"kind: expected one of {', '.join(MOVING_KINDS)}, got {self.kind!r}")
        if self.profile not in get_args(Profile):
            raise ChannelError(f"profile: expected one of {', '.join(get_args(Profile))}, got {self.profile!r}")
        if not 0 <= self.doppler <= 0.5:
            raise ChannelError(f"doppler: expected 0 to 0.5 cycles a channel use, got {self.doppler}")
        if not 0 <= self.delay_spread < float("inf"):
            raise ChannelError(f"delay_spread: expected a number of samples >= 0, got {self.delay_spread}")


class StandardFading:
    """Gains of one of Sionna's models.

    Parameters
    ----------
    options
        What moves.
    ofdm
        Subcarriers and prefix of ``tdl`` and ``cdl``.

    Raises
    ------
    ChannelError
        If Sionna is not installed, or an echo outlasts the cyclic prefix.
    """

    def __init__(self, options: MovingOptions, ofdm: CompositeOptions) -> None:
        try:
            import torch
            from sionna.phy.channel.tr38901 import CDL, TDL, AntennaArray
        except ImportError:
            raise ChannelError(
                f"channel {options.kind!r} is one of Sionna's: pip install 'semstream[radio]' (sionna-no-rt)"
            ) from None
        self.options, self._ofdm = options, ofdm
        self._generator = torch.Generator()
        speed = options.doppler * _LIGHT / _CARRIER
        flat = options.kind == "doppler"
        tapped = TDL(
            "A" if flat else options.profile, 0.0 if flat else options.delay_spread, _CARRIER,
            num_sinusoids=_FLAT_SINUSOIDS if flat else _SINUSOIDS, min_speed=speed, precision="single", device="cpu",
        )  # fmt: skip
        self._model: Any = tapped
        if options.kind == "cdl":
            antenna = AntennaArray(
                num_rows=1, num_cols=1, polarization="single", polarization_type="V", antenna_pattern="omni",
                carrier_frequency=_CARRIER, precision="single", device="cpu",
            )  # fmt: skip
            self._model = CDL(
                options.profile, options.delay_spread, _CARRIER, antenna, antenna, "uplink", min_speed=speed,
                max_speed=speed, precision="single", device="cpu",
            )  # fmt: skip
        _draw_from(self._model, self._generator)
        self.statistics = _statistics(tapped, options, ofdm.subcarriers)
        longest = float(tapped.delays.max())
        if not flat and longest > ofdm.cyclic_prefix:
            raise ChannelError(
                f"delay_spread: the last echo of {options.kind.upper()}-{options.profile} comes {longest:.1f} samples "
                f"late, the cyclic prefix has {ofdm.cyclic_prefix}; take a delay spread of at most "
                f"{0.99 * options.delay_spread * ofdm.cyclic_prefix / longest:.2g}"
            )

    def gains(self, count: int, rng: np.random.Generator) -> NDArray[np.complex64]:
        """Gains (count,) of E|h|² = 1: of channel uses, or of the subcarriers of OFDM symbols one after another."""
        if not count:
            return np.zeros(0, np.complex64)
        self._generator.manual_seed(int(rng.integers(2**63)))
        if self.options.kind == "doppler":
            coefficients, _ = self._model(1, count, 1.0)
            return np.asarray(coefficients.numpy().reshape(-1, count).sum(axis=0), np.complex64)
        width = self._ofdm.subcarriers
        rows = -(-count // width)
        coefficients, delays = self._model(1, rows, 1.0 / (width + self._ofdm.cyclic_prefix))
        frequencies = np.fft.fftfreq(width)
        turns = np.exp(-2j * np.pi * frequencies[:, None] * delays.numpy().reshape(-1))
        response = coefficients.numpy().reshape(-1, rows).T.astype(np.complex128) @ turns.T
        return response.reshape(-1)[:count].astype(np.complex64)


def _statistics(tapped: Any, options: MovingOptions, subcarriers: int) -> MovingFading:
    """What a receiver knows of the channel; of a clustered one, what it would of the tapped one of its profile."""
    if options.kind == "doppler":
        return MovingFading(doppler=options.doppler)
    powers, direct = tapped.mean_powers.numpy().astype(float), 0.0
    if tapped.los:
        direct = float(tapped.mean_power_los)
        powers[0] -= direct
    delays = tuple(float(delay) for delay in tapped.delays)
    multipath = Multipath(delays, tuple(powers / powers.sum()), subcarriers)
    return MovingFading(
        options.doppler, direct, _DIRECT_ANGLE * options.doppler, any_heading=options.kind == "cdl", multipath=multipath
    )


def _draw_from(model: Any, generator: Any) -> None:
    """Make a model and its parts draw from `generator`: Sionna's objects all draw from one of the whole process."""
    for part in model.modules():
        kind = type(part)
        if hasattr(kind, "torch_rng"):
            part.__class__ = type(kind.__name__, (kind,), {"torch_rng": property(lambda _: generator)})
