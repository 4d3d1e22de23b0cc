"""Side information: what the receiver of a frame must be told beside its codes.

The frame's scale (16 bits), the power gain (16 bits, added by the power normalizer) and a class map (element
granularity) are sent as bits and counted. Scheme, quantizer and allocation follow from settings that both ends share;
they are carried for convenience, as a header's few bytes, and not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from semstream.codec.profile import QUANTIZERS

SCALE_BITS = 16
"""Bits of a scale or gain sent as float16."""
SCHEMES = ("none", "uniform", "fixed", "cumulative", "proportional", "optimal")
MAX_SITES = 2**24
MAX_SIDE = 2**16


class SideInformationError(ValueError):
    """Side information that is missing or cannot be true: says which field, what was expected and what came."""


@dataclass(frozen=True, slots=True)
class SideInformation:
    """What the receiver is told about one frame.

    Attributes
    ----------
    shape
        (h, w, C) of the features.
    size
        (H, W) of the picture in pixels.
    scale
        The encoder's scale of the frame, float16.
    scheme, quantizer
        How the features were coded; scheme ``none`` means unquantized.
    bits
        Bits of each channel (channel granularity) or of each class (element granularity).
    class_map
        Whether a map of the class of every feature is sent.
    payload_bits, side_bits
        Bits of the codes, and of all side information that is sent.
    """

    shape: tuple[int, int, int]
    size: tuple[int, int]
    scale: float
    scheme: str
    quantizer: str
    bits: tuple[int, ...]
    class_map: bool
    payload_bits: int
    side_bits: int

    def to_tags(self) -> dict[str, Any]:
        """Plain values for a frame's header."""
        return {
            "shape": list(self.shape),
            "size": list(self.size),
            "scale": self.scale,
            "scheme": self.scheme,
            "quantizer": self.quantizer,
            "bits": bytes(self.bits),
            "class_map": self.class_map,
            "payload_bits": self.payload_bits,
            "side_bits": self.side_bits,
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, Any], channels: int) -> Self:
        """Read and check what `to_tags` wrote.

        Raises
        ------
        SideInformationError
            Naming the first field that is missing or out of range.
        """

        def need(name: str, test: bool, expected: str) -> None:
            if not test:
                raise SideInformationError(
                    f"side information {name!r}: expected {expected}, got {tags.get(name)!r:.80}"
                )

        def whole(value: object, low: int, high: int) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

        shape: Any = tags.get("shape")
        size: Any = tags.get("size")
        scale: Any = tags.get("scale")
        bits: Any = tags.get("bits")
        is_shape = isinstance(shape, list) and len(shape) == 3 and all(whole(n, 1, MAX_SITES) for n in shape)
        need("shape", is_shape and shape[2] == channels and shape[0] * shape[1] <= MAX_SITES, f"[h, w, {channels}]")
        is_size = isinstance(size, list) and len(size) == 2 and all(whole(n, 1, MAX_SIDE) for n in size)
        need("size", is_size, "[H, W] in pixels")
        need("scale", isinstance(scale, float) and 0 < scale < 1e4, "a positive number")
        need("scheme", tags.get("scheme") in SCHEMES, f"one of {', '.join(SCHEMES)}")
        need("quantizer", tags.get("quantizer") in QUANTIZERS, f"one of {', '.join(QUANTIZERS)}")
        need("bits", isinstance(bits, bytes) and max(bits, default=0) <= 12, "0 to 12 bits a channel or class")
        need("class_map", isinstance(tags.get("class_map"), bool), "true or false")
        need("bits", tags["class_map"] or len(bits) in (0, channels), f"{channels} channels")
        for name in ("payload_bits", "side_bits"):
            need(name, whole(tags.get(name), 0, 2**40), "a count")
        return cls(
            tuple(shape), tuple(size), scale, tags["scheme"], tags["quantizer"], tuple(bits),
            tags["class_map"], tags["payload_bits"], tags["side_bits"],
        )  # fmt: skip

    @property
    def feature_count(self) -> int:
        """n = h·w·C."""
        return self.shape[0] * self.shape[1] * self.shape[2]
