"""Swin stages of the encoder and of the decoder, from timm's blocks."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from torch import Tensor, nn

from semstream.codec.config import CodecConfig
from semstream.codec.folding import KNOTS_DB


class WindowBlock(SwinTransformerBlock):
    """timm's Swin block for any input size.

    timm either fixes the size or recomputes the mask of the shifted windows at each call; here the mask of each size
    is kept, which halves the time of a small picture.
    """

    def __init__(self, width: int, heads: int, window: int, shifted: bool, mlp_ratio: float) -> None:
        super().__init__(
            width,
            input_resolution=(window, window),
            num_heads=heads,
            window_size=window,
            shift_size=window // 2 if shifted else 0,
            always_partition=True,
            dynamic_mask=True,
            mlp_ratio=mlp_ratio,
        )
        self._mask_of_size = lru_cache(maxsize=8)(self._mask)

    def _mask(self, size: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor | None:
        mask: Tensor | None = super().get_attn_mask(torch.empty((1, *size, 1), device=device, dtype=dtype))
        return mask

    def get_attn_mask(self, x: Tensor | None = None, device: Any = None, dtype: Any = None) -> Tensor | None:
        """Mask of the shifted windows for the size of `x`, (B, H, W, C)."""
        if x is None or not any(self.shift_size):
            mask: Tensor | None = super().get_attn_mask(x, device, dtype)
            return mask
        return self._mask_of_size((x.shape[1], x.shape[2]), x.device, x.dtype)

    def __getstate__(self) -> dict[str, Any]:
        # A cache of a bound method cannot be copied, which EMA does.
        return {key: value for key, value in super().__getstate__().items() if key != "_mask_of_size"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._mask_of_size = lru_cache(maxsize=8)(self._mask)


def _blocks(config: CodecConfig, stage: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            WindowBlock(config.widths[stage], config.heads[stage], config.window, i % 2 == 1, config.mlp_ratio)
            for i in range(config.depths[stage])
        )
    )


class PatchSplitting(nn.Module):
    """Inverse of patch merging: one token of `width` becomes 2×2 tokens of `out_width`."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expansion = nn.Linear(width, 4 * out_width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, width) to (B, 2H, 2W, out_width)."""
        return tokens_to_pixels(self.expansion(self.norm(x)), 2)


def tokens_to_pixels(x: Tensor, factor: int) -> Tensor:
    """(B, H, W, factor²·C) to (B, factor·H, factor·W, C): each token becomes a square."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, factor, factor, c // factor**2).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h * factor, w * factor, c // factor**2)


def pixels_to_tokens(x: Tensor, factor: int) -> Tensor:
    """(B, factor·H, factor·W, C) to (B, H, W, factor²·C): inverse of `tokens_to_pixels`."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // factor, factor, w // factor, factor, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // factor, w // factor, factor**2 * c)


class SwinAnalysis(nn.Module):
    """Picture to features: patch embedding, stages with merging between, head (from zero beside a linear path)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.embed = nn.Linear(3 * config.patch**2, config.widths[0])
        self.embed_norm = nn.LayerNorm(config.widths[0])
        self.stages = nn.ModuleList(_blocks(config, i) for i in range(len(config.widths)))
        self.merge = nn.ModuleList(PatchMerging(a, b) for a, b in pairwise(config.widths))
        self.norm = nn.LayerNorm(config.widths[-1])
        self.head = nn.Linear(config.widths[-1], config.channels)
        self.gate = nn.Linear(config.widths[-1], config.channels) if config.gated else None
        self.told = None
        if config.told_snr:
            layers = [nn.Linear(len(KNOTS_DB), width, bias=False) for width in config.widths]
            for layer in layers:
                nn.init.zeros_(layer.weight)
            self.told = nn.ModuleList(layers)

    def forward(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, H, W, 3), centred, to features and the logarithm of the gates, (B, H/stride, W/stride, C) each.

        `told` is where the SNR lies between `KNOTS_DB`, (B, knots); only a codec with ``told_snr`` looks at it.
        """
        x = self.embed_norm(self.embed(pixels_to_tokens(x, self.patch)))
        for i, stage in enumerate(self.stages):
            x = self.merge[i - 1](x) if i else x
            if self.told is not None:
                x = x + self.told[i](told)[:, None, None]
            x = stage(x)
        x = self.norm(x)
        return self.head(x), None if self.gate is None else self.gate(x)


class SwinSynthesis(nn.Module):
    """Mirror of `SwinAnalysis`: features with their reliability to a picture."""

    def __init__(self, config: CodecConfig, inputs: int) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.patch = config.patch
        self.embed = nn.Linear(inputs, widths[0])
        self.stages = nn.ModuleList(_blocks(config, i) for i in reversed(range(len(widths))))
        self.split = nn.ModuleList(PatchSplitting(a, b) for a, b in pairwise(widths))
        self.norm = nn.LayerNorm(widths[-1])
        self.head = nn.Linear(widths[-1], 3 * config.patch**2)
        self.gate = nn.Linear(widths[0], 2 * config.channels) if config.gated else None

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, h, w, inputs) to pixels (B, H, W, 3), and (B, h, w, 2·C): log gates and additions, after stage one."""
        x, gate = self.embed(z), None
        for i, stage in enumerate(self.stages):
            x = stage(self.split[i - 1](x) if i else x)
            if i == 0 and self.gate is not None:
                gate = self.gate(x)
        return tokens_to_pixels(self.head(self.norm(x)), self.patch), gate
