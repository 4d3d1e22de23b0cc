"""The bits of a frame's codes in the order in which they matter: what unequal protection protects.

A group is what packing makes one: the features of a channel (or, with a class map, all features of one width). Its bit
planes are ranked by weight · significance: how much a wrong bit moves the feature, squared, and how much that moves
the picture. Both ends rank by the profile that they share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from semstream.codec.profile import Profile
from semstream.codec.side_information import SideInformationError
from semstream.quantize.bitwise import BitDequantizer, labelled, significance
from semstream.quantize.dequantize import NOISE_CAP

Bits = NDArray[np.uint8]
Float32 = NDArray[np.float32]
_MOST_LLR = 60.0


@dataclass(frozen=True)
class Group:
    """Codes of one width: their places in the features (flat, C order), and the channel of each or of all."""

    width: int
    places: NDArray[np.int64]
    channels: NDArray[np.int64]


@dataclass(frozen=True)
class BitLayout:
    """Where each bit of a frame stands.

    Attributes
    ----------
    groups
        In the order of the payload's groups.
    planes
        (group, bit) of each run of bits, most significant run first; bit 0 is a code's least significant.
    starts
        First bit of each run, and the number of all.
    """

    groups: tuple[Group, ...]
    planes: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Bits of the frame."""
        return self.starts[-1]


class BitCoder:
    """Codes to ranked bits and LLRs of ranked bits to features, for one profile, quantizer and label."""

    def __init__(self, profile: Profile, quantizer: str, label: str) -> None:
        self._quantizer = profile.quantizers[quantizer]
        # Bits are allocated as for an error-free channel, and so without folds.
        self._weight = profile.sensitivity_alone.astype(np.float64)
        self._label = label
        self._dequantize = BitDequantizer(self._quantizer, profile.variance, label)
        self._channels = profile.channels
        # lru_cache on a method would keep the coder alive; this one lives and dies with it.
        self._of_channels = lru_cache(maxsize=16)(self._channel_layout)
        self._one = lru_cache(maxsize=1024)(self._one_shares)

    def layout(self, bits: NDArray[np.uint8], sites: int) -> BitLayout:
        """Layout of features with these bits, (C,) a channel or (h, w, C) a feature."""
        if bits.ndim == 1:
            return self._of_channels(bits.tobytes(), sites)
        flat = bits.reshape(-1)
        groups = []
        for width in np.unique(flat[flat > 0]).tolist():
            places = np.flatnonzero(flat == width)
            groups.append(Group(width, places, places % self._channels))
        return self._ranked(groups)

    def _channel_layout(self, bits: bytes, sites: int) -> BitLayout:
        place = np.arange(sites) * self._channels
        groups = [Group(width, place + c, np.array([c])) for c, width in enumerate(bits) if width]
        return self._ranked(groups)

    def _ranked(self, groups: list[Group]) -> BitLayout:
        ranked = []
        for number, group in enumerate(groups):
            used, counts = np.unique(group.channels, return_counts=True)
            moved = np.zeros(group.width)
            for channel, count in zip(used.tolist(), counts.tolist(), strict=True):
                change = significance(self._quantizer, channel, group.width, self._label)
                moved += count * self._weight[channel] * change
            moved /= group.channels.size
            # Rounded, so that both ends rank alike whatever their arithmetic.
            ranked += [(-round(10 * float(np.log10(m + 1e-30)), 1), number, bit) for bit, m in enumerate(moved)]
        planes = tuple((number, bit) for _, number, bit in sorted(ranked))
        starts = np.cumsum([0, *(groups[number].places.size for number, _ in planes)])
        return BitLayout(tuple(groups), planes, tuple(starts.tolist()))

    def bits(self, layout: BitLayout, codes: list[NDArray[np.uint16]]) -> Bits:
        """Ranked bits of the codes of each group."""
        words = [labelled(group, self._label) for group in codes]
        if not layout.planes:
            return np.zeros(0, np.uint8)
        planes = [words[number] >> np.uint16(bit) & np.uint16(1) for number, bit in layout.planes]
        return np.concatenate(planes).astype(np.uint8)

    def prior(self, layout: BitLayout) -> Float32:
        """LLR of each ranked bit before anything is received: the codes of a codebook are not equally likely."""
        llr = np.empty(layout.bits, np.float32)
        for start, end, (number, bit) in zip(layout.starts[:-1], layout.starts[1:], layout.planes, strict=True):
            group = layout.groups[number]
            used, inverse = np.unique(group.channels, return_inverse=True)
            one = np.array([self._one(int(c), group.width)[bit] for c in used])
            value = np.log((1 - one) / one)[inverse]
            llr[start:end] = value if value.size > 1 else value[0]
        return llr

    def _one_shares(self, channel: int, width: int) -> NDArray[np.float64]:
        """Probability that each bit is one, held off 0 and 1 by what a calibration set leaves open."""
        probability = self._quantizer.cells(channel, width, 1.0).probability
        words = labelled(np.arange(2**width, dtype=np.uint16), self._label)
        ones = (words >> np.arange(width, dtype=np.uint16)[:, None] & 1) @ probability / probability.sum()
        return np.clip(ones, 0.02, 0.98)

    def features(self, layout: BitLayout, llr: Float32, shape: tuple[int, int, int]) -> tuple[Float32, Float32]:
        """Features and their noise variance, (h, w, C), from the channel's LLR of each ranked bit.

        Raises
        ------
        SideInformationError
            If the LLRs are not as many as the bits.
        """
        if llr.size != layout.bits:
            raise SideInformationError(f"payload: expected {layout.bits} bits, got {llr.size}")
        size = shape[0] * shape[1] * shape[2]
        estimate, noise = np.zeros(size, np.float32), np.full(size, NOISE_CAP, np.float32)
        known = np.clip(np.nan_to_num(llr), -_MOST_LLR, _MOST_LLR)
        planes = [np.empty((group.width, group.places.size), np.float32) for group in layout.groups]
        for start, end, (number, bit) in zip(layout.starts[:-1], layout.starts[1:], layout.planes, strict=True):
            planes[number][bit] = known[start:end]
        for group, plane in zip(layout.groups, planes, strict=True):
            if group.channels.size == 1:
                found = self._dequantize(plane, int(group.channels[0]))
                estimate[group.places], noise[group.places] = found
                continue
            for channel in np.unique(group.channels).tolist():
                some = group.channels == channel
                found = self._dequantize(plane[:, some], channel)
                estimate[group.places[some]], noise[group.places[some]] = found
        return estimate.reshape(shape), noise.reshape(shape)
