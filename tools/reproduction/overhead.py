"""What unequal bits cost over equal ones: time a picture, memory, and time of a training step, measured in one run."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from typing import Any

import numpy as np

from tools.evaluation.case import Case
from tools.evaluation.pictures import Batch, Pictures
from tools.evaluation.simulate import Simulator


def measure(simulator: Simulator, pictures: Pictures, repeats: int = 5, steps: int = 6) -> list[dict[str, Any]]:
    """Rows ``{"what", "uniform", "non_uniform", "ratio"}``; the two take turns, medians are compared."""
    one = Batch(0, pictures.batches[0].pictures[:1])
    cases = {s: Case("awgn", 10.0, s, 8 / 3, "lloyd_max", "sensitivity") for s in ("uniform", "optimal")}
    for case in cases.values():
        simulator.transmit(one, case)
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats * 4):
        for name, case in cases.items():
            begin = time.perf_counter()
            simulator.forget()
            simulator.transmit(one, case)
            times[name].append(time.perf_counter() - begin)
    memory = {}
    for name, case in cases.items():
        tracemalloc.start()
        simulator.transmit(one, case)
        memory[name] = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    training = _training(simulator, steps)
    return [
        _row("link, ms a picture", *(statistics.median(times[n]) * 1e3 for n in ("uniform", "optimal"))),
        _row("memory of quantizing, MiB at its peak (without the networks)", memory["uniform"], memory["optimal"]),
        _row("training step of stage 2, ms", training["uniform"], training["optimal"]),
    ]


def _row(what: str, uniform: float, other: float) -> dict[str, Any]:
    return {"what": what, "uniform": uniform, "non_uniform": other, "ratio": other / uniform if uniform else None}


def _training(simulator: Simulator, steps: int) -> dict[str, float]:
    import copy

    import torch

    from semstream.codec.air import AirDraw
    from semstream.codec.training import QuantizationDraw, TrainingStep

    side = 8 * simulator.codec.config.stride
    batch = torch.from_numpy(np.random.default_rng(0).random((8, 3, side, side), np.float32))
    times: dict[str, list[float]] = {}
    modules = {
        name: TrainingStep(
            copy.deepcopy(simulator.codec).to("cpu").requires_grad_(True).train(), AirDraw(), "log_mse", 0,
            profile=simulator.profile, quantization=QuantizationDraw((8 / 3,), (name,)),
        )
        for name in ("uniform", "optimal")
    }  # fmt: skip
    for turn in range(steps + 1):
        for name, module in modules.items():
            begin = time.perf_counter()
            module(batch).backward()
            if turn:  # the first builds tables
                times.setdefault(name, []).append((time.perf_counter() - begin) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}
