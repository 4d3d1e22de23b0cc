"""The settings that fix a codec's network, stored with its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

_MOST = {
    "channels": 4096, "patch": 64, "widths": 8192, "depths": 64, "heads": 256, "window": 32, "lap": 63,
}  # fmt: skip
MOST_STAGES = 6


class ConfigError(ValueError):
    """A codec configuration that cannot be built: says which setting, what was expected and what came."""


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """Shape of the Swin codec.

    The defaults are the paper's network (Entropy 2025, 27, 369, Section 4.1: patch 2, two stages of 2 and 4 blocks,
    widths 128 and 256, heads 4 and 8, window 2, MLP ratio 4) with ``channels`` = 32 and the linear path added.

    Attributes
    ----------
    channels
        Features a site, C. With one real dimension a feature, CBR = C / (6 · stride²).
    patch
        Side of the square of pixels that the first layer takes as one token.
    widths, depths, heads
        Embedding width, number of Swin blocks and attention heads of each stage, fine to coarse.
    window
        Side of an attention window, in tokens.
    mlp_ratio
        Hidden width of the MLP over the embedding width.
    linear_path
        Whether a linear transform runs beside the Swin path (see `semstream.codec.linear`).
    gated
        Whether the Swin path also scales each feature of the linear path, at both ends (see `semstream.codec.codec`).
    lap
        Side, in feature sites, of what the linear path sees and writes around each site; odd. 1: the site's own pixels.
    told_snr
        Whether features have gains that follow the SNR which the encoder is told (see `semstream.codec.folding`).
    folds
        Channels that are sent twice: the last ``len(folds)`` channels carry them folded. Needs `told_snr`.
    """

    channels: int = 32
    patch: int = 2
    widths: tuple[int, ...] = (128, 256)
    depths: tuple[int, ...] = (2, 4)
    heads: tuple[int, ...] = (4, 8)
    window: int = 2
    mlp_ratio: float = 4.0
    linear_path: bool = True
    gated: bool = False
    lap: int = 1
    told_snr: bool = False
    folds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value: Any = getattr(self, name)
            several = name in ("widths", "depths", "heads")
            each = value if isinstance(value, tuple) and several else (value,)
            if isinstance(value, tuple) != several or not all(type(n) is int and 1 <= n <= most for n in each):
                kind = "a list of whole numbers" if several else "a whole number"
                raise ConfigError(f"codec: {name} must be {kind}, at least 1, at most {most}, got {value!r:.100}")
        if type(self.mlp_ratio) not in (int, float) or not 0 < self.mlp_ratio <= 16:
            raise ConfigError(f"codec: mlp_ratio must be a number above 0, at most 16, got {self.mlp_ratio!r:.100}")
        if not all(type(flag) is bool for flag in (self.linear_path, self.gated, self.told_snr)):
            raise ConfigError("codec: linear_path, gated and told_snr must be true or false")
        if len(self.widths) > MOST_STAGES:
            raise ConfigError(f"codec: at most {MOST_STAGES} stages, got {len(self.widths)}")
        if not self.widths or not len(self.widths) == len(self.depths) == len(self.heads):
            raise ConfigError(
                f"codec: widths, depths, heads need one entry a stage, got {self.widths}, {self.depths}, {self.heads}"
            )
        for width, head in zip(self.widths, self.heads, strict=True):
            if head < 1 or width % head:
                raise ConfigError(f"codec: a stage of width {width} cannot be split over {head} heads")
        if self.gated and not self.linear_path:
            raise ConfigError("codec: gates scale the linear path; gated needs linear_path")
        if self.lap % 2 == 0:
            raise ConfigError(f"codec: lap must be an odd number of sites, got {self.lap}")
        plain = self.channels - len(self.folds) if isinstance(self.folds, tuple) else 0
        if not isinstance(self.folds, tuple) or not all(type(n) is int and 0 <= n < plain for n in self.folds):
            raise ConfigError(
                f"codec: folds must be a list of channels before the last that carry them, got {self.folds!r:.100}"
            )
        if self.folds and not self.told_snr:
            raise ConfigError("codec: folds follow the SNR; folds need told_snr")

    @property
    def stride(self) -> int:
        """Pixels a feature site on each axis: patch · 2^(stages − 1)."""
        return int(self.patch * 2 ** (len(self.widths) - 1))

    @property
    def channel_bandwidth_ratio(self) -> float:
        """Complex channel uses a source value when every feature takes one real dimension."""
        return self.channels / 2 / (3 * self.stride**2)

    @property
    def least_parameters(self) -> int:
        """Parameters of attention and MLPs at one end, and of the linear path there: what there is at the least."""
        blocks = zip(self.widths, self.depths, strict=True)
        swin = sum(depth * (4 * width**2 + 2 * width * int(self.mlp_ratio * width)) for width, depth in blocks)
        return swin + self.linear_path * self.channels * 3 * self.stride**2

    def to_json(self) -> str:
        """Write the configuration as a JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        ConfigError
            If the text is no JSON object, a key is unknown, or the values do not fit together.
        """
        try:
            values: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"codec: configuration is not JSON ({error})") from None
        known: set[str] = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) - known:
            raise ConfigError(
                f"codec: configuration must be an object with the keys {sorted(known)}, got {values!r:.200}"
            )
        try:
            arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**arguments)
        except TypeError as error:
            raise ConfigError(f"codec: configuration has a value of the wrong type ({error})") from None


PAPER = CodecConfig()
"""The paper's network with the linear path: 7.4 M parameters."""

SMALL = CodecConfig(widths=(64, 128), depths=(2, 2), window=4, gated=True)
"""1.1 M parameters: what 2 CPU cores train in an hour, and run in real time."""

MEDIUM = CodecConfig(widths=(96, 192), depths=(2, 2), heads=(3, 6), window=4, gated=True)
"""2.4 M parameters, about twice the time of `SMALL`."""

PHOTO = CodecConfig(
    channels=96, patch=4, widths=(64, 128, 256), depths=(2, 2, 4), heads=(2, 4, 8), window=8, gated=True
)
"""For photographs at CBR 1/16: one site for 16×16 pixels, 8.0 M parameters."""
