"""Quantize + pack on one core, in Mbit/s of payload, beside numpy.packbits on the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from semstream.codec.checkpoint import load_profile
from semstream.codec.coder import FeatureCoder
from semstream.codec.profile import Profile
from semstream.quantize.packing import pack, payload_bits
from tools.bench_parts.report import Column, Goal, Result, Table, ratio
from tools.bench_parts.workers import call

SHAPES = ((64, 64, 32), (8, 8, 32))
MEAN_BITS = (2, 3, 4, 6, 8)
SCHEMES = ("uniform", "optimal")


def measure(quick: bool) -> Result:
    """Run the worker and make the table."""
    rows = call("pack:work", seconds=0.02 if quick else 0.5)
    columns = [
        Column("features"),
        Column("allocation"),
        Column("bits a feature", "", 0),
        Column("payload", "kbit"),
        Column("quantize", "µs"),
        Column("pack", "µs"),
        Column("quantize + pack", "Mbit/s"),
        Column("same, CPU time", "Mbit/s"),
        Column("with allocation and side information", "Mbit/s"),
        Column("numpy.packbits", "Mbit/s"),
        Column("pack/packbits", "", 2),
    ]
    keys = (
        "shape", "scheme", "bits", "payload_kbit", "quantize_us", "pack_us",
        "both_mbit_s", "both_cpu_mbit_s", "coder_mbit_s", "packbits_mbit_s", "pack_ratio",
    )  # fmt: skip
    notes = [
        "One thread; medians of wall time, and of the thread's own CPU time, which other programs disturb less. "
        "Features are Laplacian with the spread of each channel. numpy.packbits starts from one byte a bit."
    ]
    table = Table("Quantize + pack", columns, [[row[k] for k in keys] for row in rows], notes)
    slowest = min(row["both_mbit_s"] for row in rows if row["shape"] == "64x64x32")
    slowest_small = min(row["both_mbit_s"] for row in rows if row["shape"] == "8x8x32")
    goals = [
        Goal("quantize + pack, 64x64x32, slowest of all widths", "Mbit/s", 200, slowest, below=False),
        Goal("quantize + pack, 8x8x32, slowest of all widths", "Mbit/s", 200, slowest_small, below=False),
    ]
    return Result(rows, [table], goals)


def work(seconds: float) -> list[dict[str, Any]]:
    """Worker: every shape, allocation and width, `seconds` for each thing that is timed."""
    profile = load_profile()[0]
    return [_one(profile, shape, scheme, bits, seconds) for shape in SHAPES for scheme in SCHEMES for bits in MEAN_BITS]


def laplacian(profile: Profile, shape: tuple[int, int, int]) -> np.ndarray:
    """Features of unit mean power, float32, each channel with its spread."""
    spread = np.sqrt(profile.variance / 2)
    features = np.random.default_rng(0).laplace(size=shape) * spread
    return (features / np.sqrt(np.mean(features**2))).astype(np.float32)


def _one(profile: Profile, shape: tuple[int, int, int], scheme: str, mean_bits: int, seconds: float) -> dict[str, Any]:
    features = laplacian(profile, shape)
    quantizer, coder = profile.quantizers["lloyd_max"], FeatureCoder(profile)
    bits = profile.allocate(scheme, mean_bits, feature_count=features.size)
    widths = [int(width) for width in np.unique(bits) if width]
    members = [bits == width for width in widths]

    def grouped(codes: np.ndarray) -> list[np.ndarray]:
        return [np.ascontiguousarray(codes[..., member]).reshape(-1) for member in members]

    codes = quantizer.quantize(features, bits)
    total = payload_bits(widths, [group.size for group in grouped(codes)])
    unpacked = np.unpackbits(pack(grouped(codes), widths))[:total]
    timed: dict[str, Callable[[], object]] = {
        "quantize": lambda: quantizer.quantize(features, bits),
        "pack": lambda: pack(grouped(codes), widths),
        "both": lambda: pack(grouped(quantizer.quantize(features, bits)), widths),
        "coder": lambda: coder.quantize(features, size=(4, 4), scale=1.0, scheme=scheme, mean_bits=mean_bits),
        "packbits": lambda: np.packbits(unpacked),
    }
    wall: dict[str, tuple[float, float]] = {name: durations(action, seconds) for name, action in timed.items()}
    mbit = total / 1e6
    return {
        "shape": "x".join(map(str, shape)),
        "scheme": "uniform" if scheme == "uniform" else "non-uniform",
        "bits": mean_bits,
        "payload_kbit": total / 1e3,
        "quantize_us": wall["quantize"][0] * 1e6,
        "pack_us": wall["pack"][0] * 1e6,
        "both_mbit_s": mbit / wall["both"][0],
        "both_cpu_mbit_s": mbit / wall["both"][1],
        "coder_mbit_s": mbit / wall["coder"][0],
        "packbits_mbit_s": mbit / wall["packbits"][0],
        "pack_ratio": ratio(wall["packbits"][0], wall["pack"][0]),
    }


def durations(action: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Median wall time and median CPU time of one call in seconds, after a warm-up."""
    action()
    action()
    wall: list[float] = []
    cpu: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(wall) < 5:
        first, first_cpu = time.perf_counter(), time.thread_time()
        action()
        wall.append(time.perf_counter() - first)
        cpu.append(time.thread_time() - first_cpu)
    return float(np.median(wall)), float(np.median(cpu))
