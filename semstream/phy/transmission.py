"""One frame's symbols over a channel that the receiver must estimate.

    symbols ─► pilots among them ─► preamble before them ─► fading ─► late start, turn ─► + noise ─┐
    y, ĥ, σ² + E|h − ĥ|² ◄─ estimate from pilots ◄─ turn back, shift back ◄─ acquire by preamble ◄─┘

Perfect CSI keeps the same road, pilots and preamble if they are asked for, and only lets the receiver look at h and at
the start and turn: gains and noise are the same numbers for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.phy import ofdm
from semstream.phy.channel import ChannelError, CompositeOptions, Reception, apply, noise_power
from semstream.phy.equalizer import NOISE_CAP
from semstream.phy.estimators import Method, estimate
from semstream.phy.fading import Coherence, block_length, complex_normal
from semstream.phy.impairments import Impairments, impair
from semstream.phy.interleaving import interleaver
from semstream.phy.pilots import PilotPattern, comb, subcarrier_comb
from semstream.phy.standard_fading import MOVING_KINDS, StandardFading
from semstream.phy.statistics import BlockFading, MovingFading, Multipath, Statistics
from semstream.phy.synchronisation import acquire, aligned, tone
from semstream.phy.waveform import known_symbols

Csi = Literal["perfect", "estimated"]
PILOT_SHARE = 0.1
PREAMBLE = 64


class Transmission(NamedTuple):
    """What a frame came to.

    Attributes
    ----------
    reception
        Of the symbols alone: pilots and preamble are taken out. The gain of an estimated channel is ĥ, and its noise
        variance includes the error E|h − ĥ|².
    channel_uses
        Symbols, pilots and preamble.
    found
        False where no preamble was found: then nothing is known of any symbol.
    """

    reception: Reception
    channel_uses: int
    found: bool = True


@dataclass(frozen=True)
class Air:
    """A channel, what two radios add to it, and how the receiver knows it.

    Attributes
    ----------
    kind
        ``awgn``, ``rayleigh``, ``rician``, ``composite``, or of `MOVING_KINDS`, which need `moving`.
    csi
        ``perfect`` or ``estimated``.
    estimator
        ``mmse`` or ``ls``, see `semstream.phy.estimators`.
    pilots
        Share of channel uses that are pilots; None: `PILOT_SHARE` where the channel is estimated, else none.
    preamble
        Symbols of the preamble; None: `PREAMBLE` where there are impairments and the channel is estimated, else none.
    impairments
        Of flat channels: awgn, rayleigh, rician, doppler.
    coherence, rician_k, composite
        As in `semstream.phy.channel.apply`.
    moving
        Gains of a kind that moves.
    interleave
        Send the symbols in an order that both ends know, in which a fade, and the error of its estimate, meets symbols
        of places far apart in the picture: with fades of 64 channel uses and 10 dB worth 1.1 dB of PSNR where the
        channel is known and 1.8 dB where it is estimated.
    """

    kind: str = "awgn"
    csi: Csi = "perfect"
    estimator: Method = "mmse"
    pilots: float | None = None
    preamble: int | None = None
    impairments: Impairments = field(default_factory=Impairments)
    coherence: Coherence = "symbol"
    rician_k: float = 3.0
    composite: CompositeOptions = field(default_factory=CompositeOptions)
    moving: StandardFading | None = None
    interleave: bool = False

    def __post_init__(self) -> None:
        if self.csi not in ("perfect", "estimated"):
            raise ChannelError(f"csi: expected perfect or estimated, got {self.csi!r}")
        if self.kind in MOVING_KINDS and (self.moving is None or self.moving.options.kind != self.kind):
            raise ChannelError(f"kind: {self.kind!r} needs moving=StandardFading(MovingOptions({self.kind!r}, …), …)")
        if self.impairments and self._ofdm:
            raise ChannelError(
                f"impairments: frequency, phase and timing offsets are of flat channels, not of {self.kind!r} over OFDM"
            )
        if self.preamble is not None and not (self.preamble == 0 or 16 <= self.preamble <= 4096):
            raise ChannelError(f"preamble: expected 0, or 16 to 4096 symbols, got {self.preamble}")
        if self.csi == "estimated":
            if self.pilots == 0:
                raise ChannelError("pilots: expected some where the channel is estimated, got 0; 0.1 is a usual share")
            if self.impairments and self.preamble == 0:
                raise ChannelError("preamble: expected one, by which a burst with offsets is found, got 0")
        self.pattern()

    @property
    def _ofdm(self) -> bool:
        return self.kind in ("composite", "tdl", "cdl")

    @property
    def searches(self) -> bool:
        """Whether the receiver must find a burst by its preamble."""
        return bool(self.impairments) and self.csi == "estimated"

    @property
    def preamble_length(self) -> int:
        """Symbols before the others."""
        if self.preamble is not None:
            return self.preamble
        return PREAMBLE if self.searches else 0

    def pattern(self) -> PilotPattern | None:
        """Where pilots stand; None without any."""
        share = self.pilots if self.pilots is not None else (PILOT_SHARE if self.csi == "estimated" else 0.0)
        if share == 0:
            return None
        if self._ofdm:
            return subcarrier_comb(share, self.composite.subcarriers, self.composite.cyclic_prefix)
        return comb(share)

    def statistics(self, size: int) -> Statistics:
        """What the receiver knows of the channel over a stream of so many uses.

        Raises
        ------
        ChannelError
            If a gain holds for one symbol, so that pilots say nothing of the others.
        """
        wander = self.impairments.phase_noise
        if self.moving is not None and self.kind in MOVING_KINDS:
            return replace(self.moving.statistics, phase_noise=wander)
        direct = 0.0
        if self.kind in ("rician", "composite"):
            direct = 1.0 if math.isinf(self.rician_k) else self.rician_k / (self.rician_k + 1)
        if self.kind == "composite":
            o = self.composite
            rows = ofdm.held_rows(size, o.subcarriers, self.coherence)
            profile = tuple(ofdm.power_delay_profile(o.taps, o.decay).tolist())
            delays = tuple(float(tap) for tap in range(o.taps))
            return BlockFading(rows * o.subcarriers, direct, multipath=Multipath(delays, profile, o.subcarriers))
        whole = size + self.preamble_length
        length = max(whole, 1) if self.kind == "awgn" else block_length(whole, self.coherence)
        if length >= whole and self.impairments:
            return MovingFading(phase_noise=wander)  # one gain, but what is left of the offset turns it
        if length == 1 and size > 1 and (self.kind == "rayleigh" or self.estimator == "ls"):
            raise ChannelError(
                "coherence: a gain that is drawn anew for each symbol cannot be estimated; give a number of symbols, "
                "or 'frame'"
            )
        return BlockFading(length, direct, self.preamble_length % length, wander)


def transmit(
    symbols: NDArray[np.complex64], air: Air, snr_db: float, rng: np.random.Generator, *, time: float = 0.0
) -> Transmission:
    """Send one frame's symbols.

    Parameters
    ----------
    symbols
        (N,) complex64 of unit mean power.
    air
        Channel and receiver.
    snr_db
        Es/N0 in dB; ``inf`` is error-free.
    rng
        The frame's own generator.
    time
        t of the composite channel.

    Raises
    ------
    ChannelError
        If `symbols` is not a finite complex vector, or the channel cannot be estimated.
    """
    if air.interleave:
        order = interleaver(symbols.size, "air")
        back = np.argsort(order)
        got = transmit(symbols[order], replace(air, interleave=False), snr_db, rng, time=time)
        return got._replace(reception=_only(got.reception, back))
    pattern = air.pattern()
    if pattern is None and not air.preamble_length and not air.impairments and air.moving is None:
        reception = apply(
            symbols, air.kind, snr_db, rng, coherence=air.coherence, rician_k=air.rician_k, composite=air.composite,
            time=time,
        )  # fmt: skip
        return Transmission(reception, symbols.size)
    stream = pattern.insert(symbols) if pattern else symbols
    uses = (pattern.uses(symbols.size) if pattern else symbols.size) + air.preamble_length
    statistics = air.statistics(stream.size) if air.csi == "estimated" else None
    burst = np.concatenate([known_symbols(air.preamble_length), stream])
    if air.impairments:
        heard, found = _impaired(burst, air, snr_db, rng)
    else:
        heard, found = _faded(burst, air, snr_db, rng, time), True
    heard = _only(heard, slice(air.preamble_length, None))
    if not found:
        return Transmission(_nothing(symbols.size), uses, False)
    if pattern is None:
        return Transmission(heard, uses)
    places = pattern.symbol_places(symbols.size)
    if statistics is None:
        return Transmission(_only(heard, places), uses)
    return Transmission(receive(heard, pattern, symbols.size, statistics, air.estimator, bool(air.impairments)), uses)


def receive(
    heard: Reception,
    pattern: PilotPattern,
    count: int,
    statistics: Statistics,
    method: Method,
    turning: bool = False,
) -> Reception:
    """Symbols of a received stream, with the gains that its pilots show: all that a receiver does.

    Parameters
    ----------
    heard
        ``received`` (size,) and ``noise_variance`` (size,) of the stream; its ``csi`` is not looked at.
    pattern, count, statistics, method
        As `semstream.phy.estimators.estimate` has them.
    turning
        Whether a frequency offset may be left; then the pilots of the whole stream show it first.
    """
    received = heard.received
    if turning and count:
        pilots = pattern.gains(received, count)[: pattern.tiles(count), 0]
        left = tone(_by_block(pilots, pattern, statistics)) / pattern.width
        received = (received * np.exp(-2j * np.pi * left * np.arange(received.size))).astype(np.complex64)
    noise = float(np.mean(heard.noise_variance)) if heard.noise_variance.size else 0.0
    found = estimate(pattern.gains(received, count), pattern, count, statistics, noise, method)
    places = pattern.symbol_places(count)
    # At the mean power of a symbol: scaled by the strength that y shows it cost 0.2 dB more (blocks of 64, 10 dB).
    variance = np.minimum(heard.noise_variance[places] + found.error_variance, NOISE_CAP)
    return Reception(received[places], found.gains.astype(np.complex64), variance.astype(np.float32))


def _by_block(pilots: NDArray[np.complex128], pattern: PilotPattern, statistics: Statistics) -> NDArray[np.complex128]:
    """Pilots (T,) as (B, …), a row a block of the channel, zeros behind."""
    if isinstance(statistics, MovingFading):
        return pilots[None]
    block = (np.arange(pilots.size) * pattern.width + pattern.offsets[0] + statistics.lead) // statistics.length
    first = np.searchsorted(block, block)
    rows = np.zeros((int(block.max()) + 1, int(np.bincount(block).max())), np.complex128)
    rows[block, np.arange(pilots.size) - first] = pilots
    return rows


def _faded(
    burst: NDArray[np.complex64], air: Air, snr_db: float, rng: np.random.Generator, time: float = 0.0
) -> Reception:
    """Fading and noise."""
    if air.moving is None or air.kind not in MOVING_KINDS:
        return apply(
            burst, air.kind, snr_db, rng, coherence=air.coherence, rician_k=air.rician_k, composite=air.composite,
            time=time,
        )  # fmt: skip
    if not np.isfinite(burst).all():
        raise ChannelError("symbols: expected finite numbers, got NaN or infinity; check the block before the channel")
    variance = noise_power(snr_db)
    gains = air.moving.gains(burst.size, rng)
    received = gains * burst
    if variance > 0:
        received += np.float32(math.sqrt(variance)) * complex_normal(rng, (burst.size,))
    return Reception(received, gains, np.full(burst.size, variance, np.float32))


def _impaired(
    burst: NDArray[np.complex64], air: Air, snr_db: float, rng: np.random.Generator
) -> tuple[Reception, bool]:
    """A burst that starts late and turns, found again: by its preamble, or by one who knows."""
    faded = _faded(burst, air, math.inf, rng)
    on_air = impair(faded.received, air.impairments, rng)
    variance = noise_power(snr_db)
    capture = on_air.samples
    if variance > 0:
        capture = capture + math.sqrt(variance) * complex_normal(rng, (capture.size,))
    noise = np.full(burst.size, variance, np.float32)
    if air.csi == "perfect":
        still = aligned(capture * np.conj(on_air.turn), on_air.start, 0.0, burst.size)
        return Reception(still.astype(np.complex64), faded.csi, noise), True
    seen = acquire(capture, known_symbols(air.preamble_length))
    found = aligned(capture, seen.start, seen.frequency, burst.size)
    return Reception(found.astype(np.complex64), np.zeros(burst.size, np.complex64), noise), seen.found


def _only(heard: Reception, places: slice | NDArray[np.intp]) -> Reception:
    return Reception(heard.received[places], heard.csi[places], heard.noise_variance[places])


def _nothing(count: int) -> Reception:
    """Symbols of which nothing is known."""
    zeros = np.zeros(count, np.complex64)
    return Reception(zeros, zeros, np.full(count, NOISE_CAP, np.float32))
