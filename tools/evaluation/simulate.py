"""The link in one process: what the blocks do to a frame, without sockets, for many settings of the same pictures.

    pictures ─ encode (once) ─┬─ quantize ─ amplitudes ─ power ─ channel ─ equalise ─ dequantize ─ decode ─ measure
                              ├─ quantize ─ bits ─ QAM ─ channel ─ … (`tools.evaluation.digital`)
                              └─ … the next case

The mathematics is the blocks' own (`FeatureCoder`, `semstream.phy`). Noise is keyed by (seed, "air", number of the
picture), so that a picture meets the same noise in every case, whatever the batch and whichever cases are run, and
a flowgraph whose `FadingChannel` has ``noise_key="air"`` gives the same pictures.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.codec.coder import FeatureCoder
from semstream.codec.side_information import SCALE_BITS
from semstream.metrics.quality import ms_ssim, psnr
from semstream.phy.amplitudes import from_symbols, to_symbols
from semstream.phy.channel import ChannelError, CompositeOptions
from semstream.phy.random import generator
from semstream.phy.standard_fading import MOVING_KINDS, MovingOptions, StandardFading
from semstream.phy.transmission import Air, transmit
from tools.evaluation.case import Case, CaseError
from tools.evaluation.digital import Digital
from tools.evaluation.pictures import Batch
from tools.evaluation.rate import Rates

KEPT_BYTES = 2**30

Float32 = NDArray[np.float32]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Outcome:
    """What one picture came to in one case."""

    psnr_db: float
    ms_ssim: float
    lpips: float | None
    payload_bits: int
    side_bits: int
    features: int
    channel_uses: int
    source_values: int
    seconds: float


@dataclass
class Encoded:
    """Features (N, h, w, C) of a batch, their scales, and the seconds that encoding took."""

    features: Float32
    scale: list[float]
    seconds: float


class Simulator:
    """Simulates the link with one set of weights.

    Parameters
    ----------
    weights
        Name or file, as for `semstream.codec.checkpoint.weights_path`.
    seed
        Seed of the noise.
    device, precision
        Of the networks.
    lpips
        A `semstream.metrics.perceptual.Lpips`, or None.
    """

    def __init__(
        self, weights: str = "", seed: int = 0, device: str = "cpu", precision: str = "auto", lpips: Any = None
    ) -> None:
        from semstream.codec import checkpoint

        loaded = checkpoint.load(weights, device)
        if loaded.profile is None:
            raise checkpoint.WeightsError(f"weights {weights!r}: no profile in the file; run tools/profile.py on it")
        self.name = checkpoint.weights_path(weights).stem
        self.codec = loaded.codec.for_inference(precision)
        self.profile = loaded.profile
        self.coder = FeatureCoder(loaded.profile)
        self.rates = Rates(loaded.profile, self.codec.config.stride)
        self.seed = seed
        self.device = device
        self.lpips = lpips
        self.digital: Digital | None = None
        self._moving: dict[str, StandardFading] = {}
        self._kept: dict[tuple[int, float], tuple[Batch, Encoded]] = {}
        self._kept_bytes = 0

    def simulate(self, batch: Batch, case: Case) -> list[Outcome]:
        """Outcome of each picture of the batch.

        Raises
        ------
        CaseError
            If no allocation meets the budget, or the features cannot fill the bandwidth.
        """
        received, facts, seconds = self.transmit(batch, case)
        outcomes = []
        for sent, got, fact in zip(batch.pictures, received, facts, strict=True):
            payload, side, features, uses = fact
            distance = float(self.lpips(sent, got)) if self.lpips is not None else None
            outcomes.append(
                Outcome(
                    psnr(sent, got), ms_ssim(sent, got), distance, payload, side, features, uses, sent.size, seconds
                )
            )
        return outcomes

    def transmit(self, batch: Batch, case: Case) -> tuple[Picture, list[tuple[int, int, int, int]], float]:
        """Send a batch: received pictures; payload bits, side bits, features and channel uses of each; seconds each."""
        # Bits that arrive are free of noise, so features are made for the least of it: 0.3 to 0.4 dB over LDPC.
        encoded = self.encode(batch, case.snr_db if case.modulation == "pam" else math.inf)
        begin = time.perf_counter()
        size = (batch.pictures.shape[1], batch.pictures.shape[2])
        if case.modulation == "pam":
            values, variances, facts = self._amplitudes(encoded, size, case, batch.first)
        else:
            if self.digital is None:
                self.digital = Digital(self.coder, self.codec.config.stride, self.seed)
            values, variances, facts = self.digital.transmit(encoded.features, encoded.scale, batch, case)
        received = self._decode(np.stack(values), np.stack(variances), encoded.scale, size)
        return received, facts, (time.perf_counter() - begin + encoded.seconds) / len(values)

    def _amplitudes(
        self, encoded: Encoded, size: tuple[int, int], case: Case, first: int
    ) -> tuple[list[Float32], list[Float32], list[tuple[int, int, int, int]]]:
        values, variances, facts = [], [], []
        for i, (features, scale) in enumerate(zip(encoded.features, encoded.scale, strict=True)):
            value, variance, fact = self._through(features, scale, size, case, first + i)
            values.append(value)
            variances.append(variance)
            facts.append(fact)
        return values, variances, facts

    def _through(
        self, features: Float32, scale: float, size: tuple[int, int], case: Case, number: int
    ) -> tuple[Float32, Float32, tuple[int, int, int, int]]:
        from semstream.quantize.errors import AllocationError

        scheme = "fixed" if case.scheme == "paper" else case.scheme
        rate = self.rates.of(case)
        sites = features.shape[0] * features.shape[1]
        try:
            coded = self.coder.quantize(
                features,
                size=size,
                scale=scale,
                scheme=scheme,
                mean_bits=(case.bits or 4.0) * rate.share,
                quantizer=case.quantizer or "lloyd_max",
                contribution=case.contribution or "sensitivity",
                classes=self.profile.classes(case.classes, case.contribution or "sensitivity"),
                noise_variance=10 ** (-case.snr_db / 10),
                most_features=rate.most * sites if rate.most < features.shape[2] and scheme != "none" else 0,
            )
        except AllocationError as error:
            raise CaseError(f"{case.label}, {case.bits:g} bits: {error}") from None
        levels = self.coder.amplitudes(coded.payload, coded.side)
        widths = np.array(coded.side.bits, np.uint8)
        sent = rate.put(levels, widths)
        symbols, gain = to_symbols(sent)
        try:
            rng = generator(self.seed, "air", number)
            heard = transmit(symbols, self._air(case), case.snr_db, rng, time=number % 100)
        except ChannelError as error:
            raise CaseError(f"{case.label}: {error}") from None
        amplitudes, noise = from_symbols(*heard.reception, sent.size, gain)
        received = rate.take(amplitudes, noise, widths)
        value, variance = self.coder.observe(*received, coded.side, mode=case.dequantize or "linear")
        side_bits = coded.side.side_bits + SCALE_BITS
        return value, variance, (coded.side.payload_bits, side_bits, features.size, heard.channel_uses)

    def _air(self, case: Case) -> Air:
        """The channel of a case, and how its receiver knows it; one that moves does as Sionna's models by default."""
        if case.channel in MOVING_KINDS and case.channel not in self._moving:
            self._moving[case.channel] = StandardFading(MovingOptions(case.channel), CompositeOptions())
        csi, _, estimator = case.csi.partition("-")
        return Air(
            case.channel,
            "estimated" if csi == "estimated" else "perfect",
            "ls" if estimator == "ls" else "mmse",
            pilots=case.pilots or None,
            coherence=int(case.coherence)
            if case.coherence.isdigit()
            else "frame"
            if case.coherence == "frame"
            else "symbol",
            moving=self._moving.get(case.channel),
            interleave=case.interleave,
        )

    @property
    def headers_lost(self) -> int:
        """Frames over QAM whose header was not read so far."""
        return self.digital.lost if self.digital is not None else 0

    def forget(self) -> None:
        """Drop the kept encodings."""
        self._kept, self._kept_bytes = {}, 0

    def encode(self, batch: Batch, snr_db: float = 10.0) -> Encoded:
        """Encode a batch for an SNR, or find what an earlier case has encoded."""
        # The batch is kept too, so that its id is its own; weights that are not told the SNR encode once for all.
        key = id(batch), snr_db if self.codec.config.told_snr else 0.0
        if key in self._kept:
            return self._kept[key][1]
        import torch

        begin = time.perf_counter()
        pixels = torch.from_numpy(batch.pictures.astype(np.float32) / 255).to(self.device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            told = torch.full((len(pixels),), snr_db, dtype=torch.float32, device=self.device)
            features, scale = self.codec.encode(pixels, told)
        encoded = Encoded(features.cpu().numpy(), scale.tolist(), time.perf_counter() - begin)
        if self._kept_bytes + encoded.features.nbytes < KEPT_BYTES:
            self._kept[key] = batch, encoded
            self._kept_bytes += encoded.features.nbytes
        return encoded

    def _decode(self, values: Float32, variances: Float32, scale: list[float], size: tuple[int, int]) -> Picture:
        import torch

        with torch.inference_mode():
            pixels = self.codec.decode(
                torch.from_numpy(values).to(self.device),
                torch.from_numpy(variances).to(self.device),
                torch.tensor(scale, device=self.device),
                size,
            )
            rounded = pixels.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return np.ascontiguousarray(rounded)
