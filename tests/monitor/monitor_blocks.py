"""A link without networks: pictures, noise, and records as a metric sink's; in a module that child processes find."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from blocks.ports import Image, ReceivedSymbols, Symbols
from semstream.runtime import Block, Frame, In, Out, live, setting


class Pictures(Block):
    """Source of noise pictures, paced by its own pause."""

    image = Out(Image)

    class Settings(Block.Settings):
        count: int = setting(20, ge=-1, description="frames, -1 for ever")
        every_s: float = setting(0.0, ge=0, unit="s")

    def frames(self) -> Iterator[Frame]:
        i = 0
        while i != self.settings.count:
            if self.settings.every_s and not self.pause(self.settings.every_s):
                return
            picture = np.random.default_rng(i).integers(0, 255, (300, 40, 3), np.uint8)
            yield Frame({"image": picture}, tags={"snr_db": 7.0 if i % 2 else float("inf")})
            i += 1


class Noise(Block):
    """Adds a step to a picture."""

    image = In(Image)
    noisy = Out(Image)

    class Settings(Block.Settings):
        step: int = live(1, ge=0, le=255, description="added to every sample")
        kind: str = live("plain", description="a word")
        on: bool = live(True, description="whether at all")

    def process(self, frame: Frame) -> Frame:
        return frame.replace({"image": frame["image"] // 2 + np.uint8(self.settings.step)})


class Air(Block):
    """Symbols as a channel gives them, from a picture."""

    image = In(Image)
    received = Out(ReceivedSymbols)

    def process(self, frame: Frame) -> Frame:
        n = 1500
        symbols = np.exp(1j * np.arange(n)).astype(np.complex64)
        arrays = {
            "received": 2 * symbols,
            "csi": np.full(n, 2, np.complex64),
            "noise_variance": np.full(n, 0.1, np.float32),
        }
        return Frame(arrays, tags={"bits": [3, 2, 0], "scheme": "optimal", "channel": "awgn"})


class Symbolize(Block):
    """Symbols to send, from a picture."""

    image = In(Image)
    symbols = Out(Symbols)

    def process(self, frame: Frame) -> Frame:
        return Frame({"symbols": np.exp(1j * np.arange(200)).astype(np.complex64)}, tags=frame.tags)


class Quality(Block):
    """Publishes records as a metric sink's."""

    reference = In(Image)
    reconstruction = In(Image)

    def process(self, reference: Frame, reconstruction: Frame) -> None:
        record = {"branch": "a", "seq": reference.seq, "snr_db": reference.tags["snr_db"], "channel": "awgn"}
        record |= {"psnr_db": 20.0 + reference.seq % 4, "ms_ssim": 0.9, "lpips": None, "latency_ms": 5.0}
        self.publish(record | {"bits_per_feature": 3.0, "cbr": 0.3})


class End(Block):
    """Takes symbols."""

    received = In(ReceivedSymbols)

    def process(self, frame: Frame) -> None:
        pass
