"""What the blocks that hold the codec's network share: its weights, loaded at the start, and where it computes."""

from __future__ import annotations

from typing import Literal

from blocks._errors import told_by
from semstream.runtime import Block, setting


class NetworkBlock(Block):
    """Base of encoder and decoder: `_codec` is there once the block has started."""

    class Settings(Block.Settings):
        weights: str = setting("", description="name of shipped weights or path of a file; empty: the default weights")
        device: str = setting("cpu", description="PyTorch device")
        precision: Literal["auto", "fp32", "bf16"] = setting(
            "auto", description="of the network; auto: bf16 where the machine multiplies it fast (costs 0.007 dB)"
        )
        threads: int = setting(1, ge=1, le=256, description="CPU threads of PyTorch, shared by the blocks of a process")

    def preload(self) -> tuple[str, ...]:
        return ("semstream.codec.checkpoint", "semstream.codec.codec")

    def start(self) -> None:
        import torch

        from semstream.codec import checkpoint

        torch.set_num_threads(self.settings.threads)
        with told_by(self, "weights"):
            codec = checkpoint.load(self.settings.weights, self.settings.device).codec
        self._codec = codec.for_inference(self.settings.precision)
