"""From features to bits and amplitudes, and from what was received back to features: both ends of the link, pure.

    features ─ allocate ─ quantize ─ pack ─ payload ─ unpack ─ amplitudes ~~ air ~~ observed ─ dequantize ─ features, ν
                   └────────── side information: what the receiver must be told ──────────┘

The transmitter and the receiver both hold the same profile; all else that the receiver needs is in `SideInformation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semstream.codec.profile import Profile
from semstream.codec.side_information import SCALE_BITS, SideInformation, SideInformationError
from semstream.quantize.dequantize import NOISE_CAP, Dequantizer
from semstream.quantize.errors import QuantizeError
from semstream.quantize.packing import PackingError, pack, pack_class_map, unpack, unpack_class_map

Float32 = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Coded:
    """One coded frame: packed `payload` uint8 (float32 bytes when unquantized), packed class map, side information."""

    payload: Bytes
    class_map: Bytes | None
    side: SideInformation


class FeatureCoder:
    """Quantizes features to bits, turns bits into amplitudes, and received amplitudes into features.

    Parameters
    ----------
    profile
        The profile of the weights that made the features; the same at both ends.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._dequantizers: dict[tuple[str, str], Dequantizer] = {}

    def quantize(
        self,
        features: Float32,
        *,
        size: tuple[int, int],
        scale: float,
        scheme: str = "optimal",
        mean_bits: float = 4.0,
        quantizer: str = "lloyd_max",
        contribution: str = "sensitivity",
        classes: NDArray[np.uint8] | None = None,
        class_map: NDArray[np.uint8] | None = None,
        noise_variance: float = 0.0,
        most_features: int = 0,
        channel_bits: NDArray[np.uint8] | None = None,
    ) -> Coded:
        """Code one frame's features within a budget.

        Parameters
        ----------
        features
            (h, w, C) float32 of unit mean power.
        size, scale
            Of the picture and of the encoder, for the receiver.
        scheme, mean_bits, quantizer, contribution, classes, noise_variance, most_features
            As in `Profile.allocate`; scheme ``none`` sends the features as they are.
        class_map
            (h, w, C) uint8 class of every feature, for element granularity; its bits come out of the budget.
        channel_bits
            (C,) uint8 bits of each channel, where they have been allocated already; then no budget is looked at.

        Raises
        ------
        QuantizeError
            Features that are not finite or not of the profile's channels, or a budget no allocation can meet.
        """
        if features.ndim != 3 or features.shape[2] != self.profile.channels:
            raise QuantizeError(f"features: expected (h, w, {self.profile.channels}), got {features.shape}")
        shape = (features.shape[0], features.shape[1], features.shape[2])
        if scheme == "none":
            if not np.isfinite(features).all():
                raise QuantizeError(f"features: {np.count_nonzero(~np.isfinite(features))} values are NaN or infinite")
            payload = np.frombuffer(np.ascontiguousarray(features, np.float32).tobytes(), np.uint8)
            side = SideInformation(shape, size, scale, scheme, quantizer, (), False, 32 * features.size, SCALE_BITS)
            return Coded(payload, None, side)
        if class_map is not None:
            return self._quantize_map(features, class_map, scheme, mean_bits, quantizer, size, scale, noise_variance)
        bits = channel_bits
        if bits is None:
            bits = self.profile.allocate(
                scheme,
                mean_bits,
                feature_count=features.size,
                classes=classes,
                contribution=contribution,
                quantizer=quantizer,
                noise_variance=noise_variance,
                most_features=most_features,
            )
        # A group a channel: a transposed view is all that packing needs, where gathering equal widths would copy.
        codes = self.profile.quantizers[quantizer].quantize(features, bits).reshape(-1, len(bits)).T
        sent = bits > 0
        payload = pack(codes if sent.all() else codes[sent], bits[sent].tolist(), checked=False)
        payload_bits = int(bits.astype(np.int64).sum()) * shape[0] * shape[1]
        side = SideInformation(
            shape, size, scale, scheme, quantizer, tuple(int(b) for b in bits), False, payload_bits, SCALE_BITS
        )
        return Coded(payload, None, side)

    def _quantize_map(
        self,
        features: Float32,
        class_map: NDArray[np.uint8],
        scheme: str,
        mean_bits: float,
        quantizer: str,
        size: tuple[int, int],
        scale: float,
        noise_variance: float,
    ) -> Coded:
        count = int(class_map.max()) + 1
        packed = pack_class_map(class_map.reshape(-1), count)
        side_bits = 8 * packed.size
        held = np.stack([(class_map == k).sum(axis=(0, 1)) for k in range(count)]).astype(np.float64)
        budget = int(mean_bits * class_map.size + 1e-6) - side_bits
        by_class = self.profile.allocate_held(scheme, held, budget, quantizer=quantizer, noise_variance=noise_variance)
        bits = by_class[class_map]
        codes = self.profile.quantizers[quantizer].quantize(features, bits)
        widths = _widths(bits)
        payload = pack([codes[bits == width] for width in widths], widths)
        shape = (features.shape[0], features.shape[1], features.shape[2])
        side = SideInformation(
            shape, size, scale, scheme, quantizer, tuple(int(b) for b in by_class), True,
            int(bits.astype(np.int64).sum()), SCALE_BITS + side_bits,
        )  # fmt: skip
        return Coded(payload, packed, side)

    def element_bits(self, side: SideInformation, class_map: Bytes | None) -> NDArray[np.uint8]:
        """(h, w, C) or (C,) bits of the features that `side` describes; `class_map` is the packed map, if any.

        Raises
        ------
        SideInformationError
            If the map is missing or is not of the frame's features.
        """
        if not side.class_map:
            return np.array(side.bits, np.uint8)
        if class_map is None:
            raise SideInformationError(
                "side information 'class_map': expected a map of classes with this frame, got none"
            )
        try:
            classes = unpack_class_map(class_map, side.feature_count, len(side.bits))
        except PackingError as error:
            raise SideInformationError(f"side information 'class_map': {error}") from None
        return np.array(side.bits, np.uint8)[classes].reshape(side.shape)

    def amplitudes(self, payload: Bytes, side: SideInformation, class_map: Bytes | None = None) -> Float32:
        """(N,) values to send: the level of each code that has bits, or each feature when unquantized.

        Raises
        ------
        PackingError
            If the payload is not what the side information says.
        """
        if side.scheme == "none":
            if payload.size != 4 * side.feature_count:
                raise PackingError(f"payload: expected {4 * side.feature_count} bytes of float32, got {payload.size}")
            return np.frombuffer(payload.tobytes(), np.float32)
        bits = self.element_bits(side, class_map)
        by_channel = bits.ndim == 1
        sent = bits > 0
        groups, widths = unpack(payload)
        expected = bits[sent].tolist() if by_channel else _widths(bits)
        sites = side.shape[0] * side.shape[1]
        sizes = [sites] * len(expected) if by_channel else [int((bits == width).sum()) for width in expected]
        if list(widths) != expected or [group.size for group in groups] != sizes:
            raise PackingError("payload: its groups are not those of the side information; they are not of one frame")
        codes = np.zeros((sites, len(bits)) if by_channel else side.shape, np.uint16)
        if by_channel and groups:
            codes[:, sent] = np.stack(groups, axis=1)
        elif not by_channel:
            for width, group in zip(widths, groups, strict=True):
                codes[bits == width] = group
        levels = self.profile.quantizers[side.quantizer].dequantize(codes, bits)
        if sent.all():
            return levels.reshape(-1)
        return np.ascontiguousarray(levels[..., sent] if by_channel else levels[sent]).reshape(-1)

    def sent_channels(self, side: SideInformation) -> NDArray[np.bool_]:
        """(C,) bool: which channels are sent, where features go by channel."""
        if side.scheme == "none":
            return np.ones(side.shape[2], bool)
        return np.array(side.bits, np.uint8) > 0

    def sent_count(self, side: SideInformation, class_map: Bytes | None = None) -> int:
        """How many values `amplitudes` gives."""
        if side.scheme == "none":
            return side.feature_count
        bits = self.element_bits(side, class_map)
        return int((bits > 0).sum()) * (side.shape[0] * side.shape[1] if bits.ndim == 1 else 1)

    def observe(
        self,
        values: Float32,
        noise_variance: Float32,
        side: SideInformation,
        class_map: Bytes | None = None,
        mode: str = "linear",
    ) -> tuple[Float32, Float32]:
        """Features and their noise variance from what was received.

        Parameters
        ----------
        values, noise_variance
            (N,) equalised values in feature units, not shrunk, and the variance of their noise.
        side, class_map
            Side information of the frame.
        mode
            ``hard``, ``linear`` or ``soft`` (see `semstream.quantize.dequantize`).

        Returns
        -------
        (h, w, C) float32 features and noise variance; features not sent are 0 at `NOISE_CAP`.
        """
        if side.scheme == "none":
            return values.reshape(side.shape), noise_variance.reshape(side.shape)
        bits = self.element_bits(side, class_map)
        sent = np.broadcast_to(bits > 0, side.shape)
        observed, variance = np.zeros(side.shape, np.float32), np.full(side.shape, NOISE_CAP, np.float32)
        observed[sent], variance[sent] = values, noise_variance
        key = (side.quantizer, mode)
        if key not in self._dequantizers:
            self._dequantizers[key] = Dequantizer(self.profile.quantizers[side.quantizer], self.profile.variance, mode)
        return self._dequantizers[key](observed, variance, bits)


def _widths(bits: NDArray[np.uint8]) -> list[int]:
    """The widths in use, ascending, without 0: features at 0 bits are not sent."""
    return [int(b) for b in np.unique(bits) if b]
