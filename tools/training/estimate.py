"""What a training will take on this machine, measured on a few of its own steps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from tools.training.loop import Training

STEPS = 20
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """Speed of a training.

    Attributes
    ----------
    crops_per_second
        Of this process.
    operations_per_crop
        Floating-point operations of matrix products in a crop's pass forward and back.
    peak
        Operations a second of one large matrix product at the same precision, device and threads.
    """

    crops_per_second: float
    operations_per_crop: float
    peak: float

    def __str__(self) -> str:
        share = self.crops_per_second * self.operations_per_crop / self.peak
        return (
            f"{self.crops_per_second:.0f} crops/s; {self.operations_per_crop / 1e9:.2f} GFLOP a crop, {share:.0%} of "
            f"the {self.peak / 1e12:.2f} TFLOP/s that one large matrix product reaches here"
        )


def estimate(training: Training) -> Estimate:
    """Measure `STEPS` steps of a training, which is changed by them; its folder is not."""
    options = training.options
    pictures = training.bank.batch(options.batch)
    for _ in range(WARM_UP):
        training.take(training.bank.batch(options.batch), 0.5)
    synchronize(training.kind)
    begun = time.perf_counter()
    for _ in range(STEPS):
        training.take(training.bank.batch(options.batch), 0.5)
    synchronize(training.kind)
    seconds = time.perf_counter() - begun
    with FlopCounterMode(display=False) as counter, torch.compiler.set_stance("force_eager"):
        training.module(pictures).backward()
    return Estimate(
        STEPS * options.batch / seconds,
        counter.get_total_flops() / options.batch,
        matrix_peak(training.kind, torch.bfloat16 if training.bf16 else torch.float32),
    )


def matrix_peak(kind: str, dtype: torch.dtype) -> float:
    """Operations a second of a square matrix product, best of five."""
    side = 2048 if kind == "cpu" else 8192
    a = torch.randn(side, side, device=kind, dtype=dtype)
    best = float("inf")
    for _ in range(6):  # the first one warms up
        synchronize(kind)
        begun = time.perf_counter()
        a @ a
        synchronize(kind)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


def synchronize(kind: str) -> None:
    """Wait until a GPU has done what it was given."""
    if kind == "cuda":
        torch.cuda.synchronize()
