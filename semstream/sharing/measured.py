"""How far the pictures of a decoder are from what the profile expects: measured by the user who has the picture.

A transmitter holds the decoder too. It decodes its own features with some of the channels left out and with noise of
some strengths, as they would arrive, and compares with its picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semstream.quantize.dequantize import NOISE_CAP
from semstream.sharing.curve import QualityCurve, WidthTable
from semstream.sharing.report import Report

if TYPE_CHECKING:
    from semstream.codec.codec import SemanticCodec

SHARES = tuple(n / 32 for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32))
"""Numbers of sent channels that are measured, of all; quality is in steps, so not too few."""
SNRS_DB = (0.0, 5.0, 10.0, 20.0)
"""Es/N0 that are measured."""
_APART = 1e-3
"""Least step in dB between two expected distortions."""


def measure(
    codec: SemanticCodec,
    table: WidthTable,
    image: NDArray[np.uint8],
    features: NDArray[np.float32],
    report: Report,
    random: np.random.Generator,
) -> NDArray[np.float32]:
    """The field ``measured`` of a report: (G, S, 3) float32.

    Parameters
    ----------
    codec, table
        Of the user's weights.
    image
        (H, W, 3) uint8, the picture.
    features
        (h, w, C) float32, as the encoder gave them for it.
    report
        Distortion, scale and sites of the frame; the rest is not used.
    random
        Draws the noise.
    """
    import torch

    channels = len(table.order)
    counts = np.unique(np.maximum(1, np.round(np.array(SHARES) * channels)).astype(int))
    size = (image.shape[0], image.shape[1])
    found = np.zeros((len(counts), len(SNRS_DB), 3), np.float32)
    for g, count in enumerate(counts):
        kept = table.order[:count]
        received = np.zeros((len(SNRS_DB), *features.shape), np.float32)
        variance = np.full(received.shape, NOISE_CAP, np.float32)
        expected = []
        for s, snr_db in enumerate(SNRS_DB):
            noise = 10 ** (-snr_db / 10) * float(report.distortion[kept, 0].mean())
            drawn = np.sqrt(noise) * random.standard_normal((*features.shape[:2], count))
            received[s][..., kept] = features[..., kept] + drawn
            variance[s][..., kept] = noise
            heard = replace(report, snr_db=snr_db, measured=np.zeros((0, 0, 3), np.float32))
            expected.append(QualityCurve(table, heard).expected(count, float(count * report.price))[0])
        with torch.inference_mode():
            scale = torch.full((len(SNRS_DB),), report.scale)
            pictures = codec.decode(torch.from_numpy(received), torch.from_numpy(variance), scale, size)
            shown = (pictures.clamp(0, 1) * 255).permute(0, 2, 3, 1).numpy()
        error = np.square(shown - image.astype(np.float32)).mean(axis=(1, 2, 3), dtype=np.float64)
        rising = np.maximum.accumulate(np.array(expected)) + _APART * np.arange(len(SNRS_DB))
        found[g, :, 0], found[g, :, 1] = count, rising
        found[g, :, 2] = 10 * np.log10(255**2 / np.maximum(error, 1e-3))
    return found
