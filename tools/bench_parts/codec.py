"""The codec's networks: time of encoding and decoding a picture, ours beside a plain timm build of the paper's network.

The peer is the paper's encoder and decoder (patch 2, blocks [2, 4], widths [128, 256], heads [4, 8], window 2) as one
would build them from `timm.models.swin_transformer` with nothing added: no linear path, masks as timm makes them.
Weights are random there: the time does not depend on them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from tools.bench_parts.report import Column, Goal, Result, Table
from tools.bench_parts.workers import call

SIZES = (32, 128, 256)
THREADS = 2


def measure(quick: bool) -> Result:
    """Run the worker and make the table."""
    rows = call("codec:work", timeout_s=900, repeats=2 if quick else 15)
    columns = [Column("size", "pixels", 0), Column("timm, the paper's", "ms"), Column("ours fp32", "ms")]
    columns += [Column("ours bf16", "ms"), Column("fp32 / timm"), Column("bf16 / timm")]
    cells = [
        [r["size"], r["timm_ms"], r["fp32_ms"], r["bf16_ms"], r["fp32_ms"] / r["timm_ms"], r["bf16_ms"] / r["timm_ms"]]
        for r in rows
    ]
    notes = [
        f"Encode and decode of one picture, median, {THREADS} threads, the three alternating. bf16 needs a CPU "
        "built for it (AVX512-BF16, AMX)."
    ]
    goals = [
        Goal(f"codec at {r['size']}×{r['size']}, fp32: time over plain timm's", "", 0.5, r["fp32_ms"] / r["timm_ms"])
        for r in rows
        if r["size"] > 32
    ]
    return Result(rows, [Table("Codec: networks alone", columns, cells, notes)], goals)


def timm_link(size: int) -> Callable[[], object]:
    """Encoder and decoder of the paper's shape, plain timm, on one random picture."""
    import torch
    from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
    from torch import nn

    def stage(width: int, heads: int, depth: int, side: int) -> nn.Module:
        blocks = [
            SwinTransformerBlock(width, (side, side), heads, window_size=2, shift_size=i % 2) for i in range(depth)
        ]
        return nn.Sequential(*blocks)

    class Splitting(nn.Module):
        def __init__(self, width: int, out_width: int) -> None:
            super().__init__()
            self.expansion = nn.Linear(width, 4 * out_width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.expansion(x).permute(0, 3, 1, 2)
            return nn.functional.pixel_shuffle(x, 2).permute(0, 2, 3, 1)

    half, quarter = size // 2, size // 4
    embed = nn.Conv2d(3, 128, 2, 2)
    encoder = nn.Sequential(
        stage(128, 4, 2, half), PatchMerging(128, 256), stage(256, 8, 4, quarter), nn.Linear(256, 32)
    )
    decoder = nn.Sequential(
        nn.Linear(32, 256),
        stage(256, 8, 4, quarter),
        Splitting(256, 128),
        stage(128, 4, 2, half),
        nn.Linear(128, 12),
    )
    for part in (embed, encoder, decoder):
        part.eval()
    picture = torch.rand(1, 3, size, size)

    def run() -> object:
        with torch.inference_mode():
            pixels = decoder(encoder(embed(picture).permute(0, 2, 3, 1)))
            return nn.functional.pixel_shuffle(pixels.permute(0, 3, 1, 2), 2)

    return run


def our_link(size: int, precision: str) -> Callable[[], object]:
    """Encoder and decoder of the shipped weights on one random picture."""
    import torch

    from semstream.codec import checkpoint

    codec = checkpoint.load().codec.for_inference(precision)
    picture = torch.rand(1, 3, size, size)
    variance = torch.tensor(0.1)

    def run() -> object:
        with torch.inference_mode():
            features, scale = codec.encode(picture)
            return codec.decode(features, variance, scale, (size, size))

    return run


def work(repeats: int) -> list[dict[str, Any]]:
    """Worker: median times at each size; contenders take turns, so that a busy moment hits all of them."""
    import torch

    torch.set_num_threads(THREADS)
    rows = []
    for size in SIZES:
        contenders = {
            "timm_ms": timm_link(size),
            "fp32_ms": our_link(size, "fp32"),
            "bf16_ms": our_link(size, "bf16"),
        }
        for run in contenders.values():
            run()
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(repeats):
            for name, run in contenders.items():
                begin = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - begin) * 1e3)
        rows.append({"size": size} | {name: statistics.median(values) for name, values in times.items()})
    return rows
