"""Baselines: picture codecs over an ideal channel code, and the linear analog code alone.

A picture codec may spend the bits that an ideal code would carry over the channel uses of our link: uses · capacity,
no error, no delay bound, which no real code reaches. The best quality that fits is taken. A picture for which even
the worst does not fit is sent as its mean colour, and counted.
"""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.metrics.quality import ms_ssim, psnr
from semstream.phy.capacity import bits_per_use
from tools.evaluation.case import Case, CaseError
from tools.evaluation.pictures import Batch
from tools.evaluation.simulate import Outcome, Simulator

Picture = NDArray[np.uint8]
_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "jpeg": [{"optimize": True, "subsampling": "4:2:0"}, {"optimize": True, "subsampling": "4:4:4"}],
    "webp": [{"method": 6}],
    "avif": [{"speed": 6}],
}
MEAN_COLOUR_BITS = 24


@dataclass(frozen=True)
class Fitted:
    """A picture as a codec brings it within a budget: `bits` counts headers as asked for."""

    picture: Picture
    bits: int
    fits: bool


def available(name: str) -> bool:
    """Whether Pillow was built with the codec."""
    from PIL import features

    return {"jpeg": lambda: features.check("jpg"), "webp": lambda: features.check("webp")}.get(
        name, lambda: features.check(name)
    )() is True


def encoded(picture: Picture, name: str, quality: int, options: dict[str, Any]) -> bytes:
    """The picture as a file of the codec."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, name.upper(), quality=quality, **options)
    return buffer.getvalue()


@lru_cache(maxsize=256)
def header_bytes(name: str, height: int, width: int, options: int = 0) -> int:
    """Bytes of a file that say nothing of its picture: the file of a flat grey picture at the lowest quality.

    It also holds the few bits of that grey, so it is a little too large, in favour of the codec.
    """
    flat = np.full((height, width, 3), 128, np.uint8)
    return len(encoded(flat, name, 1, _OPTIONS[name][options]))


def best_that_fits(picture: Picture, name: str, budget_bits: float, count_headers: bool = True) -> Fitted:
    """The picture at the highest quality whose file is within a budget, by bisection.

    Parameters
    ----------
    picture
        (H, W, 3) uint8.
    name
        ``jpeg``, ``webp`` or ``avif``.
    budget_bits
        Bits that may be spent.
    count_headers
        Whether the file's headers count (`header_bytes`).
    """
    from PIL import Image

    best: tuple[float, Fitted] | None = None
    for index, options in enumerate(_OPTIONS[name]):
        free = 0 if count_headers else header_bytes(name, picture.shape[0], picture.shape[1], index)
        low, high, fitting = 1, 100, b""
        while low <= high:
            quality = (low + high) // 2
            data = encoded(picture, name, quality, options)
            if 8 * max(0, len(data) - free) <= budget_bits:
                fitting, low = data, quality + 1
            else:
                high = quality - 1
        if fitting:
            got = np.asarray(Image.open(io.BytesIO(fitting)).convert("RGB"))
            value = psnr(picture, got)
            if best is None or value > best[0]:
                best = value, Fitted(got, 8 * max(0, len(fitting) - free), True)
    if best is not None:
        return best[1]
    mean = np.broadcast_to(picture.mean(axis=(0, 1)).round().astype(np.uint8), picture.shape)
    return Fitted(np.ascontiguousarray(mean), MEAN_COLOUR_BITS, False)


class PictureCodec:
    """JPEG, WebP or AVIF in place of the link, with the channel uses of the codec that it is measured against."""

    def __init__(self, name: str, channels: int, stride: int, lpips: Any = None) -> None:
        if not available(name):
            raise CaseError(f"--baselines: this Pillow was built without {name.upper()}; leave it out")
        self.name, self.channels, self.stride, self.lpips = name, channels, stride, lpips
        self.unfit = 0

    def simulate(self, batch: Batch, case: Case) -> list[Outcome]:
        """Outcome of each picture of the batch."""
        outcomes = []
        for picture in batch.pictures:
            begin = time.perf_counter()
            sites = math.ceil(picture.shape[0] / self.stride) * math.ceil(picture.shape[1] / self.stride)
            features = sites * self.channels
            uses = int(case.cbr * picture.size + 1e-6) if case.cbr else (features + 1) // 2
            budget = uses * bits_per_use(case.channel, case.snr_db)
            fitted = best_that_fits(picture, self.name, budget, case.quantizer == "header counted")
            self.unfit += not fitted.fits
            seconds = time.perf_counter() - begin
            distance = float(self.lpips(picture, fitted.picture)) if self.lpips is not None else None
            quality = psnr(picture, fitted.picture), ms_ssim(picture, fitted.picture), distance
            outcomes.append(Outcome(*quality, fitted.bits, 0, features, uses, picture.size, seconds))
        return outcomes


def linear_simulator(like: Simulator, snr_db: float = 10.0) -> Simulator:
    """A simulator of the linear analog code alone, of the shape of `like`.

    Its transform and power allocation (`semstream.codec.linear`, for `snr_db`) are fitted to scikit-image's
    photographs, shrunk by 1 to 8; nothing of it is trained. It is sent unquantized.
    """
    import copy
    from dataclasses import replace

    from semstream.codec.codec import SemanticCodec
    from semstream.codec.linear import fit_linear_code
    from semstream.data.crop_bank import crop_bank
    from semstream.data.photographs import photograph_files
    from semstream.data.picture import read_picture

    side = 8 * like.codec.config.stride
    bank = crop_bank([read_picture(path) for path in photograph_files()], crop=side, seed=0)
    crops = bank.draw(max(200, 2000 * 32**2 // side**2)).numpy().astype(np.float32) / np.float32(255)
    s = like.codec.config.stride
    patches = crops.reshape(len(crops), side // s, s, side // s, s, 3).transpose(0, 1, 3, 2, 4, 5)
    code = fit_linear_code(patches.reshape(-1, 3 * s * s), like.codec.config.channels, snr_db)
    linear = copy.copy(like)
    config = replace(like.codec.config, gated=False)
    codec = SemanticCodec(config, code).eval().requires_grad_(False).to(like.device)
    linear.codec = codec.for_inference(like.codec.precision)
    linear.forget()
    return linear
