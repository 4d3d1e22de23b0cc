"""What a receiver knows of a fading channel that it has not measured: correlations, never gains.

All are of second order and uncentred, E[h_a h_b*] with E|h|² = 1, so that the phase of a direct path is never taken for
known. K is the power of the direct path over the scattered, linear; `direct` = K/(K + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.floating] | NDArray[np.integer]


@dataclass(frozen=True)
class Multipath:
    """Scattered power (sum 1) at delays in samples, of an OFDM symbol of so many subcarriers; the direct path at 0."""

    delays: tuple[float, ...]
    powers: tuple[float, ...]
    subcarriers: int

    def correlation(self, apart: Real) -> NDArray[np.complex128]:
        """E[H_k H_k'*] of the scattered part, by k − k': Σ p_l exp(−2πi (k − k') τ_l / S), any shape.

        Subcarriers count as `numpy.fft.fft` does, so from S/2 on they are the negative frequencies; give differences
        of `frequencies`.
        """
        turns = np.asarray(apart, np.float64)[..., None] * np.array(self.delays) / self.subcarriers
        return np.asarray(np.exp(-2j * np.pi * turns) @ np.array(self.powers), np.complex128)

    def frequencies(self, subcarrier: NDArray[np.intp]) -> NDArray[np.intp]:
        """Frequency of a subcarrier, −S/2 to S/2 − 1 in subcarriers."""
        half = self.subcarriers // 2
        return np.asarray((subcarrier + half) % self.subcarriers - half, np.intp)


@dataclass(frozen=True)
class BlockFading:
    """A gain, or a response over subcarriers, that holds for `length` channel uses and is then drawn anew.

    Attributes
    ----------
    length
        Channel uses; of whole OFDM symbols where there is `multipath`.
    direct
        Power of what is common to all blocks, 0 to 1.
    lead
        Channel uses of the first block that were over when the stream began.
    phase_noise
        As of `MovingFading`; of a flat channel, and then nothing is taken for common.
    multipath
        None is a flat channel.
    """

    length: int
    direct: float = 0.0
    lead: int = 0
    phase_noise: float = 0.0
    multipath: Multipath | None = None


@dataclass(frozen=True)
class MovingFading:
    """A gain that changes steadily.

    Attributes
    ----------
    doppler
        Largest Doppler shift of scattered paths that come from all around (Clarke, Jakes): correlation J0(2π·f·Δt).
    direct, direct_doppler
        Power of the direct path, 0 to 1, and its own Doppler shift.
    phase_noise
        Variance of the phase's step from one channel use to the next (a Wiener process), in rad²:
        correlation exp(−½·phase_noise·Δt).
    any_heading
        The receiver moves in a direction that nobody knows, with zenith and azimuth uniform, as in Sionna's CDL: direct
        and scattered paths have the correlation J0(π·f·Δt)², and `direct_doppler` means nothing.
    multipath
        None is a flat channel.

    Frequencies are in cycles a channel use, which in OFDM is a time sample.
    """

    doppler: float = 0.0
    direct: float = 0.0
    direct_doppler: float = 0.0
    phase_noise: float = 0.0
    any_heading: bool = False
    multipath: Multipath | None = None

    def correlation(self, apart: Real, frequencies_apart: Real | None = None) -> NDArray[np.complex128]:
        """E[h(t + Δt, k + Δk) h(t, k)*] by Δt in channel uses, and Δk in subcarriers where there is multipath."""
        from scipy.special import j0

        time = np.asarray(apart, np.float64)
        if self.any_heading:
            turned = about = j0(np.pi * self.doppler * time) ** 2 + 0j
        else:
            turned = np.exp(2j * np.pi * self.direct_doppler * time)
            about = j0(2 * np.pi * self.doppler * time) + 0j
        if self.multipath is not None and frequencies_apart is not None:
            about = about * self.multipath.correlation(frequencies_apart)
        whole = self.direct * turned + (1 - self.direct) * about
        return np.asarray(whole * np.exp(-0.5 * self.phase_noise * np.abs(time)), np.complex128)


Statistics = BlockFading | MovingFading
