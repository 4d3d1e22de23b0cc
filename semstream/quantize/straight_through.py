"""Quantization inside training: forward the quantizer, backward the identity.

Reference: Y. Bengio, N. Léonard, A. Courville, "Estimating or propagating gradients through stochastic neurons" (2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from semstream.quantize.errors import QuantizeError
from semstream.quantize.lloyd_max import MAX_BITS
from semstream.quantize.quantizer import Quantizer

__all__ = ["codebook_tensors", "quantize_straight_through"]


def codebook_tensors(
    quantizer: Quantizer, device: torch.device | str = "cpu", max_bits: int = MAX_BITS
) -> dict[int, Tensor]:
    """Ascending levels of every channel for each width, {bits: (C, 2**bits) float32}: what training quantizes with."""
    tables = {}
    for bits in range(1, max_bits + 1):
        rows = np.stack([np.sort(quantizer.levels(channel, bits)) for channel in range(quantizer.channels)])
        tables[bits] = torch.from_numpy(rows).to(device)
    return tables


def quantize_straight_through(
    s: Tensor, codebooks: Mapping[int, Tensor], bits: Tensor | np.ndarray | Sequence[int]
) -> Tensor:
    """Nearest levels of the features, with the gradient of the identity.

    Parameters
    ----------
    s : (B, h, w, C) or any (..., C), floating point.
    codebooks : {bits: (C, 2**bits)} ascending, on the device of `s` (`codebook_tensors`).
    bits : (C,) whole numbers.

    Returns
    -------
    Tensor of the shape and dtype of `s`. A channel at 0 bits is 0 and passes no gradient: it is not sent, so the
    receiver cannot depend on it.

    Raises
    ------
    QuantizeError
        Wrong channel count, or a width without a codebook.
    """
    given = np.asarray(bits.cpu() if isinstance(bits, Tensor) else bits).astype(np.int64)
    widths = torch.from_numpy(given)
    if widths.shape != s.shape[-1:]:
        raise QuantizeError(f"bits: expected shape {tuple(s.shape[-1:])} (a channel), got {tuple(widths.shape)}")
    flat = s.detach().reshape(-1, s.shape[-1]).T.float().contiguous()  # (C, N)
    levels_of = torch.zeros_like(flat)
    for width in np.unique(given).tolist():
        if width == 0:
            continue
        if width not in codebooks:
            raise QuantizeError(f"bits: no codebook for {width} bits, there are {sorted(codebooks)}")
        here = (widths == width).nonzero()[:, 0].to(s.device)
        table = codebooks[width][here]
        limits = ((table[:, 1:].double() + table[:, :-1].double()) / 2).float().contiguous()
        codes = torch.searchsorted(limits, flat[here])
        levels_of[here] = table.gather(1, codes)
    sent = (widths > 0).to(device=s.device, dtype=s.dtype)
    quantized = levels_of.T.reshape(s.shape).to(s.dtype)
    return s * sent + (quantized - s * sent).detach()
