"""5G LDPC and QAM: decoding time beside Sionna's, time a frame of the QAM receiver, and the threshold of the code.

The threshold is held to Sionna's published BLER tables (`sionna.sys.bler_tables`, PDSCH, MCS table 1 of 3GPP TS 38.214;
its own decoder, sum-product, flooding, 20 iterations): at which SNR ours has the block error rate that they tabulate.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.codec.qam_design import KINDS, filling, link_of
from semstream.phy.channel import apply
from semstream.phy.errors import PhyError
from semstream.phy.ldpc import LdpcCode, ldpc_code
from semstream.phy.ldpc_decoder import Rule, decode
from semstream.phy.qam import qam_llr, qam_modulate
from semstream.phy.random import generator
from tools.bench_parts.pack import laplacian
from tools.bench_parts.report import Column, Goal, Result, Table, ratio
from tools.bench_parts.workers import WorkerError, call

WORDS, K, N, ITERATIONS = 64, 1024, 2048, 10
RULES: tuple[Rule, ...] = ("sum-product", "min-sum")
# Points of the tables in the waterfall: MCS, order, code rate · 1024, information bits of a word.
POINTS = (
    (4, 4, 308, 1000), (6, 4, 449, 1000), (8, 4, 602, 2000), (10, 16, 340, 1000), (14, 16, 553, 500),
    (17, 64, 438, 2000), (21, 64, 616, 2000), (25, 64, 822, 2000),
)  # fmt: skip
STEPS_DB = (-0.4, -0.2, 0.0, 0.3)


def measure(quick: bool) -> Result:
    """Run the workers and make the tables."""
    try:
        ldpc_code(K, N)
    except PhyError as error:
        raise WorkerError(str(error)) from None
    speed = call("ldpc:speed", repeats=1 if quick else 5, sionna=not quick and find_spec("sionna") is not None)
    frames = call("ldpc:frames", repeats=2 if quick else 30)
    points = call(
        "ldpc:thresholds", points=POINTS[:1] if quick else POINTS, words=200 if quick else 4000, timeout_s=1500
    )
    gaps = [float(row["gap_db"]) for row in points]
    slowest = {size: max(row["ms"] for row in frames if row["size"] == size) for size in (32, 64)}
    goals = [
        Goal("LDPC, SNR above the published one at equal BLER", "dB", 0.3, max(gaps, default=None)),
        *(Goal(f"QAM receiver, {size}x{size} pixels", "ms a frame", 40, slowest[size]) for size in (32, 64)),
    ]
    tables = [
        Table(
            f"LDPC decoding, {WORDS} words of {K} bits, rate 1/2",
            [Column("decoder"), Column("iterations"), Column("time", "ms"), Column("information", "Mbit/s"),
             Column("Sionna / ours", "", 1)],
            [[r["decoder"], r["iterations"], r["ms"], r["mbit_s"], r["ratio"]] for r in speed],
            ["One thread. Words that do not converge take all iterations; Sionna's take them always."],
        ),
        Table(
            "QAM receiver: header, demapping, decoding, dequantizing, a frame at its design SNR of 7 dB",
            [Column("size", "pixels", 0), Column("format"), Column("time", "ms"), Column("LDPC words", "", 0)],
            [[r["size"], r["kind"], r["ms"], r["words"]] for r in frames],
            ["One thread, frames one by one, sum-product with at most 15 iterations."],
        ),
        Table(
            "SNR at which a word is lost as often as Sionna's tables say, AWGN, sum-product, at most 15 iterations",
            [Column("MCS", "", 0), Column("order", "", 0), Column("code"), Column("BLER", "", 3),
             Column("published", "dB", 2), Column("ours", "dB", 2), Column("ours − published", "dB", 2)],
            [[r["mcs"], r["order"], f"({r['n']}, {r['k']})", r["bler"], r["published_db"], r["ours_db"], r["gap_db"]]
             for r in points],
        ),
    ]  # fmt: skip
    return Result([*speed, *frames, *points], tables, goals)


def speed(repeats: int, sionna: bool) -> list[dict[str, Any]]:
    """Worker: 64 words at an SNR at which all decode, and in noise in which none does."""
    code = ldpc_code(K, N)
    rows: list[dict[str, Any]] = []
    for name, deviation in (("all decode", 0.78), ("none decodes", 3.0)):
        llr = _heard(code, deviation)
        theirs = _sionna(llr, repeats) if sionna and name == "none decodes" else {}
        for rule in RULES:
            seconds = _median(lambda rule=rule, llr=llr: decode(code, llr, ITERATIONS, rule), repeats)  # type: ignore[misc]
            mean = float(decode(code, llr, ITERATIONS, rule).iterations.mean())
            rows.append(_row(f"ours, {rule}, {name}", mean, seconds) | {"ratio": ratio(theirs.get(rule), seconds)})
        rows += [
            _row(f"Sionna, {rule}, flooding", ITERATIONS, value) | {"ratio": None} for rule, value in theirs.items()
        ]
    return rows


def _row(name: str, iterations: float, seconds: float) -> dict[str, Any]:
    return {"decoder": name, "iterations": iterations, "ms": 1e3 * seconds, "mbit_s": WORDS * K / seconds / 1e6}


def _sionna(llr: NDArray[np.float32], repeats: int) -> dict[str, float]:
    import torch
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    torch.set_num_threads(1)
    encoder, logits = LDPC5GEncoder(K, N), torch.tensor(-llr)
    found = {}
    for rule, name in (("sum-product", "boxplus-phi"), ("min-sum", "minsum")):
        decoder = LDPC5GDecoder(encoder, cn_update=name, num_iter=ITERATIONS)
        found[rule] = _median(lambda decoder=decoder: decoder(logits), max(1, repeats // 2))  # type: ignore[misc]
    return found


def frames(repeats: int) -> list[dict[str, Any]]:
    """Worker: the receiver of 32×32 and 64×64 pictures, in each format."""
    link = link_of()
    rows = []
    for size in (32, 64):
        features = laplacian(link.coder.profile, link.feature_shape((size, size)))
        for kind in KINDS:
            form, bits = filling(kind, 7.0, (size, size))
            coded = link.coder.quantize(features, size=(size, size), scale=1.0, mean_bits=bits)
            sent = link.transmit(coded.payload, coded.side, 0, form).symbols
            heard = [apply(sent, "awgn", 7.0, generator(0, "bench", i)) for i in range(repeats)]
            words = max(got.words if got else 0 for got in link.receive(heard))
            times = []
            for reception in heard:
                begin = time.perf_counter()
                link.receive([reception])
                times.append(time.perf_counter() - begin)
            rows.append({"size": size, "kind": kind, "ms": 1e3 * float(np.median(times)), "words": words})
    return rows


def thresholds(points: list[tuple[int, int, int, int]], words: int) -> list[dict[str, Any]]:
    """Worker: the SNR at which each code has a published block error rate."""
    tables = _published()
    rows = []
    for mcs, order, rate, k in points:
        width = order.bit_length() - 1
        n = math.ceil(k * 1024 / rate / width) * width
        snr_db, published = _in_waterfall(tables, mcs, k)
        measured = [bler(ldpc_code(k, n), order, snr_db + step, words) for step in STEPS_DB]
        falling = -np.log10(np.maximum(measured, 1e-6))
        wanted = -math.log10(published)
        # Beyond the steps on either side, the last of them, and 1 dB where ours is the worse.
        gap = float(np.interp(wanted, falling, STEPS_DB, right=1.0))
        rows.append(
            {"mcs": mcs, "order": order, "k": k, "n": n, "bler": published, "published_db": snr_db, "gap_db": gap,
             "ours_db": snr_db + gap}
        )  # fmt: skip
    return rows


def bler(code: LdpcCode, order: int, snr_db: float, most: int, errors: int = 60) -> float:
    """Share of words that are not decoded, over AWGN: of `most`, or until so many `errors`."""
    random = np.random.default_rng(round(100 * snr_db) + 10_000)
    variance = 10 ** (-snr_db / 10)
    width = order.bit_length() - 1
    place = np.arange(code.n).reshape(width, -1).T.reshape(-1)  # TS 38.212, Section 5.4.2.2, as the link does
    lost = count = 0
    while lost < errors and count < most:
        bits = random.integers(0, 2, (100, code.k), dtype=np.uint8)
        symbols = qam_modulate(code.encode(bits)[:, place].reshape(-1), order)
        noise = random.standard_normal((symbols.size, 2), dtype=np.float32).view(np.complex64)[:, 0]
        heard = symbols + noise * np.float32(math.sqrt(variance / 2))
        llr = np.empty((100, code.n), np.float32)
        llr[:, place] = qam_llr(heard, np.full(heard.size, variance, np.float32), order).reshape(100, code.n)
        lost += int((decode(code, llr, 15, "sum-product").bits != bits).any(axis=1).sum())
        count += 100
    return lost / count


def _published() -> dict[str, Any]:
    found = find_spec("sionna")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        path = Path(place) / "sys" / "bler_tables" / "PDSCH_table1.json"
        if path.is_file():
            table: dict[str, Any] = json.loads(path.read_text())["category"]["1"]["index"]["1"]["MCS"]
            return table
    raise FileNotFoundError("Sionna's BLER tables are not in this version of it")


def _in_waterfall(tables: dict[str, Any], mcs: int, k: int) -> tuple[float, float]:
    """The tabulated SNR whose BLER is nearest to 0.05, and that BLER."""
    snrs, blers = tables[str(mcs)]["SNR_db"], tables[str(mcs)]["CBS"][str(k)]["BLER"]
    inside = [
        (abs(math.log10(p) - math.log10(0.05)), s, p) for s, p in zip(snrs, blers, strict=True) if 0.005 < p < 0.5
    ]
    _, snr_db, value = min(inside)
    return float(snr_db), float(value)


def _heard(code: LdpcCode, deviation: float) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    sent = code.encode(random.integers(0, 2, (WORDS, K), dtype=np.uint8))
    received = 1 - 2.0 * sent + deviation * random.standard_normal(sent.shape)
    return (2 * received / deviation**2).astype(np.float32)


def _median(action: Callable[[], object], repeats: int) -> float:
    action()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))
