"""The channel y = h * s + n: AWGN, Rayleigh, Rician, and the paper's composite model.

SNR is Es/N0 for complex symbols of unit mean power: n ~ CN(0, sigma^2), sigma^2 = 10^(-SNR/10), E|h|^2 = 1. The fading
gains are drawn before the noise, so one random generator gives the same channel at every SNR.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from semstream.phy import ofdm
from semstream.phy.fading import Coherence, complex_normal, fading_gains

Kind = Literal["awgn", "rayleigh", "rician", "composite"]
KINDS: tuple[str, ...] = get_args(Kind)
PERIOD = 100.0
"""The composite model's time t runs over [0, PERIOD)."""


class ChannelError(ValueError):
    """A setting or an input that the channel cannot work with."""


class Reception(NamedTuple):
    """What the receiver gets, one entry a symbol: ``received == csi * symbols + noise``."""

    received: NDArray[np.complex64]
    csi: NDArray[np.complex64]
    noise_variance: NDArray[np.float32]


@dataclass(frozen=True)
class CompositeOptions:
    """Multipath and noise swing of the composite channel.

    Parameters
    ----------
    subcarriers : int
        Subcarriers of an OFDM symbol.
    cyclic_prefix : int
        Guard samples before it, at least ``taps - 1``. They cost ``cyclic_prefix / subcarriers`` of extra air time,
        which the channel bandwidth ratio does not count (it counts symbols that carry features).
    taps : int
        Length of the impulse response in samples.
    decay : float
        Decay constant of the exponential power profile, in samples.
    noise_swing : float
        alpha in sigma^2(t) = sigma0^2 (1 + alpha sin(t/10)) / <1 + alpha sin(t/10)>, -1 to 1.
    """

    subcarriers: int = 64
    cyclic_prefix: int = 16
    taps: int = 8
    decay: float = 2.0
    noise_swing: float = 0.5

    def __post_init__(self) -> None:
        if self.subcarriers < 1 or self.taps < 1:
            raise ChannelError(f"subcarriers, taps: expected at least 1, got {self.subcarriers}, {self.taps}")
        if self.taps > self.subcarriers:
            raise ChannelError(f"taps: expected at most subcarriers = {self.subcarriers}, got {self.taps}")
        if not self.taps - 1 <= self.cyclic_prefix <= self.subcarriers:
            raise ChannelError(
                f"cyclic_prefix: expected taps - 1 = {self.taps - 1} to subcarriers = {self.subcarriers} samples, got "
                f"{self.cyclic_prefix}; a shorter one lets OFDM symbols interfere"
            )
        if not (self.decay > 0 and math.isfinite(self.decay)):
            raise ChannelError(f"decay: expected a positive number of samples, got {self.decay}")
        if not -1.0 <= self.noise_swing <= 1.0:
            raise ChannelError(f"noise_swing: expected -1 to 1 (noise power is never negative), got {self.noise_swing}")


def noise_power(snr_db: float) -> float:
    """sigma^2 = 10^(-SNR/10), the variance of the complex noise at unit symbol power; 0 for ``inf`` dB.

    Raises
    ------
    ChannelError
        If ``snr_db`` is NaN, or so low that the noise power is not finite.
    """
    if math.isnan(snr_db) or snr_db < -300.0:
        raise ChannelError(f"snr_db: expected a number of dB from -300 up, or inf for no noise, got {snr_db}")
    return 0.0 if math.isinf(snr_db) else 10.0 ** (-snr_db / 10.0)


def composite_noise_power(snr_db: float, time: float, noise_swing: float = 0.5) -> float:
    """Noise power of the composite channel at a time, whose mean over [0, 100] is exactly that of the label.

    The paper's time-varying noise swings as sin(t/10). Taken as printed (amplitude sin(t/10)) its mean power would be
    3.2 dB below the label, so the swing is put on the power and divided by its mean over the period,
    <1 + alpha sin(t/10)> = 1 + alpha (1 - cos 10) / 10.

    Parameters
    ----------
    snr_db : float
        Label, Es/N0 in dB.
    time : float
        t; taken modulo 100.
    noise_swing : float
        alpha, -1 to 1.
    """
    if not math.isfinite(time):
        raise ChannelError(f"time: expected a finite number, got {time}")
    mean = 1.0 + noise_swing * (1.0 - math.cos(PERIOD / 10.0)) * 10.0 / PERIOD
    return noise_power(snr_db) * (1.0 + noise_swing * math.sin(time % PERIOD / 10.0)) / mean


def apply(
    symbols: NDArray[np.complex64],
    kind: str,
    snr_db: float,
    rng: np.random.Generator,
    *,
    coherence: Coherence = "symbol",
    rician_k: float = 3.0,
    composite: CompositeOptions = CompositeOptions(),
    time: float = 0.0,
) -> Reception:
    """Send one frame's symbols through a channel.

    Parameters
    ----------
    symbols : ndarray (N,), complex64
        Symbols of unit mean power; N may be 0.
    kind : {"awgn", "rayleigh", "rician", "composite"}
        Channel model.
    snr_db : float
        Es/N0 in dB; ``inf`` is error-free.
    rng : numpy.random.Generator
        The frame's own generator, see `semstream.phy.random.generator`.
    coherence : "symbol", "frame" or int
        Symbols over which the fading gain holds. The composite channel holds its taps for whole OFDM symbols: one for
        "symbol", ``ceil(coherence / subcarriers)`` for a number.
    rician_k : float
        Line-of-sight to scattered power of "rician" and "composite", linear.
    composite : CompositeOptions
        Multipath and noise swing of "composite"; the symbols are padded to whole OFDM symbols and cut after.
    time : float
        t of "composite", modulo 100; the caller maps its frame numbers to it.

    Returns
    -------
    Reception
        ``received`` (N,) complex64, ``csi`` (N,) complex64 (the true gain h of each symbol), ``noise_variance`` (N,)
        float32 (sigma^2 of the complex noise before equalisation).

    Raises
    ------
    ChannelError
        If ``symbols`` is not a finite complex vector or a setting is out of range.
    """
    if kind not in KINDS:
        raise ChannelError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if symbols.ndim != 1 or not np.issubdtype(symbols.dtype, np.complexfloating):
        raise ChannelError(f"symbols: expected a complex vector, got {symbols.dtype} of shape {symbols.shape}")
    if not np.isfinite(symbols).all():
        raise ChannelError("symbols: expected finite numbers, got NaN or infinity; check the block before the channel")
    sent = symbols.astype(np.complex64, copy=False)
    if kind == "composite":
        variance = composite_noise_power(snr_db, time, composite.noise_swing)
        received, csi = _through_ofdm(sent, variance, rng, coherence, rician_k, composite)
        return Reception(received, csi, np.full(sent.size, variance, dtype=np.float32))

    variance = noise_power(snr_db)
    if kind == "awgn":
        csi = np.ones(sent.size, dtype=np.complex64)
        received = sent.copy()
    else:
        try:
            csi = fading_gains(sent.size, rng, rician_k if kind == "rician" else 0.0, coherence)
        except ValueError as error:
            raise ChannelError(str(error)) from None
        received = csi * sent
    if variance > 0:
        received += np.float32(math.sqrt(variance)) * complex_normal(rng, (sent.size,))
    return Reception(received, csi, np.full(sent.size, variance, dtype=np.float32))


def _through_ofdm(
    sent: NDArray[np.complex64],
    variance: float,
    rng: np.random.Generator,
    coherence: Coherence,
    rician_k: float,
    options: CompositeOptions,
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Received symbols and gains of the composite channel, with the noise added to the time samples."""
    size, width = sent.size, options.subcarriers
    rows = -(-size // width)
    grid = np.zeros((rows, width), dtype=np.complex64)
    grid.reshape(-1)[:size] = sent
    try:
        rows_held = ofdm.held_rows(size, width, coherence)
        blocks = ofdm.draw_taps(-(-rows // rows_held), options.taps, options.decay, rician_k, rng)
    except ValueError as error:
        raise ChannelError(str(error)) from None
    impulse = np.repeat(blocks, rows_held, axis=0)[:rows]
    samples = ofdm.convolve(ofdm.modulate(grid, options.cyclic_prefix), impulse)
    if variance > 0:
        samples += math.sqrt(variance) * complex_normal(rng, samples.shape)
    received = ofdm.demodulate(samples, options.cyclic_prefix)
    gains = ofdm.frequency_response(impulse, width)
    return received.reshape(-1)[:size].astype(np.complex64), gains.reshape(-1)[:size].astype(np.complex64)
