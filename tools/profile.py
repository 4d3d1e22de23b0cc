"""Measure the profile of a codec's features and store it with the weights.

    python tools/profile.py runs/small/codec.safetensors --data photographs/ cifar10.npz --out swin-c32.safetensors

On calibration pictures (never those that a result is reported on) it measures what each channel contributes to the
picture by each method, how features spread, Lloyd-Max codebooks of 1 to 8 bits, the distortion at 0 to 12 bits, and in
which order channels are sent where not all are. The result is what both ends of a link share.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This file has the name of a standard module, which PyTorch imports.
sys.path[:] = [p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent]

import argparse
import json
from functools import partial

import numpy as np
import torch

from semstream.codec import checkpoint
from semstream.codec.codec import SemanticCodec
from semstream.codec.profile import CONTRIBUTIONS, MAX_BITS, NOISE_KNOTS_DB, SENSITIVITY_NOISE_DB, Profile
from semstream.codec.sending_order import measured_order
from semstream.data.crop_bank import crop_bank
from semstream.data.crops import TrainingDataError
from semstream.data.training import load_training
from semstream.progress import Progress
from semstream.quantize import contribution as methods
from semstream.quantize.fixed_point import FixedPoint
from semstream.quantize.lloyd_max import fit_codebooks
from semstream.quantize.quantizer import LloydMax, Quantizer, measure_distortion


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="weights to measure, as tools/train.py writes them")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="calibration pictures, as for tools/train.py"
    )
    parser.add_argument("--out", type=Path, help="file to write (default: the weights' own)")
    parser.add_argument("--average-with", default="", help="other weights of the same shape: their mean is measured")
    parser.add_argument("--crops", type=int, default=4000, help="small crops; a tenth as many large ones are added")
    parser.add_argument(
        "--crop", type=int, default=32, help="side of the small crops; the large ones are four times that"
    )
    parser.add_argument("--small-share", type=float, default=0.5, help="share of small crops from the small dataset")
    parser.add_argument("--ordering-crops", type=int, default=160, help="crops by which channels are put in order")
    parser.add_argument("--probes", type=int, default=8, help="Hutchinson probes a picture")
    parser.add_argument(
        "--note", action="append", default=[], metavar="KEY=VALUE", help="fact to keep with the weights"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def contributions(
    codec: SemanticCodec, crops: np.ndarray, probes: int, seed: int, noise_db: float = SENSITIVITY_NOISE_DB
) -> dict[str, np.ndarray]:
    """(C,) contribution of each channel by each method, mean over pictures of factors that sum to 1.

    Of a codec with folds they are those of noisy features (`noise_db`): without noise the finest fold alone would seem
    to matter. ``unfolded`` is the sensitivity where no fold is received, and ``under_noise`` (K, C) that at
    `NOISE_KNOTS_DB`, both on the scale of ``sensitivity``; ``gradient`` is the greater one, with folds or without.
    """
    totals: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(seed)
    size = crops.shape[1:3]
    folds = codec.config.folds
    noise = torch.tensor(10 ** (-noise_db / 10) if folds else 0.0)
    starts = range(0, len(crops), 50)
    with Progress("batches", len(starts)) as progress:
        for start in starts:
            pictures = torch.from_numpy(crops[start : start + 50]).permute(0, 3, 1, 2).float() / 255
            with torch.no_grad():
                features, scale = codec.encode(pictures, drawn_snr_db(len(pictures), generator))

            def decode(s: torch.Tensor, variance: torch.Tensor = noise, scale: torch.Tensor = scale) -> torch.Tensor:
                return codec.decode(s, variance, scale, size)

            def noisy(variance: torch.Tensor, features: torch.Tensor = features) -> torch.Tensor:
                return features + variance.sqrt() * torch.randn(features.shape, generator=generator)

            alone = partial(decode, variance=codec.without_folds)
            sensitivity = partial(methods.sensitivity, probes=probes, generator=generator)
            met = noisy(noise)
            measured = {
                "gradient": methods.gradient(decode, met, pictures),
                "sensitivity": sensitivity(decode, met),
                "magnitude": methods.magnitude(features),
                "std": methods.std(features),
            }
            if folds:
                measured["gradient"] = torch.maximum(measured["gradient"], methods.gradient(alone, met, pictures))
            whole = {name: r.double().sum(dim=(1, 2, 3)).clamp_min(1e-30) for name, r in measured.items()}
            if folds:
                measured["unfolded"] = sensitivity(alone, features)
                for knot in NOISE_KNOTS_DB:
                    variance = torch.tensor(10 ** (-knot / 10))
                    measured[f"at {knot:g}"] = sensitivity(partial(decode, variance=variance), noisy(variance))
            for name, r in measured.items():
                shares = r.double().sum(dim=(1, 2)) / whole.get(name, whole["sensitivity"])[:, None]
                totals[name] = totals.get(name, 0) + shares.sum(0)
            progress.advance()
    found = {
        name: (total / (totals[name] if name in whole else totals["sensitivity"]).sum()).numpy().astype(np.float32)
        for name, total in totals.items()
    }
    if folds:
        plain = len(codec.feature_power) - len(folds)
        found["unfolded"][plain:] = 0  # but for rounding
        under = np.stack([found.pop(f"at {knot:g}") for knot in NOISE_KNOTS_DB])
        constant = sorted(set(range(plain)) - set(folds))
        under[:, constant] = found["sensitivity"][constant]
        found["under_noise"] = under
    return found


def drawn_snr_db(count: int, generator: torch.Generator) -> torch.Tensor:
    """(count,) SNRs to tell the encoder: one profile serves all."""
    return 20 * torch.rand(count, generator=generator)


def feature_samples(codec: SemanticCodec, batches: list[np.ndarray], limit: int = 400_000, seed: int = 0) -> np.ndarray:
    """(N, C) features of all pictures, thinned to `limit` a channel, as many from small pictures as from large ones."""
    parts = []
    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        for crops in batches:
            rows = [
                codec.encode(part, drawn_snr_db(len(part), generator)).features
                for part in (
                    torch.from_numpy(crops[i : i + 50]).permute(0, 3, 1, 2).float() / 255
                    for i in range(0, len(crops), 50)
                )
            ]
            part = torch.cat(rows).reshape(-1, codec.config.channels).numpy()
            keep = limit // len(batches)
            parts.append(part if len(part) <= keep else part[random.choice(len(part), keep, replace=False)])
    return np.concatenate(parts)


def sending_order(codec: SemanticCodec, crops: np.ndarray, seed: int) -> np.ndarray:
    """(C,) float32 channels in the order in which they are sent where not all are."""
    pictures = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    with Progress("channels", codec.config.channels - 1) as progress:
        order = measured_order(codec, pictures, seed, lambda gone: progress.advance(gone - progress.done))
    return order.astype(np.float32)


def average(codec: SemanticCodec, other: SemanticCodec) -> None:
    """Make `codec` the mean of both (a "model soup", Wortsman et al., 2022).

    Of stage 1 and the stage 2 that began from it, the mean keeps most of what each is good at.

    Raises
    ------
    ValueError
        If the two are of different shapes.
    """
    if codec.config != other.config:
        raise ValueError(f"--average-with: expected weights of the same shape, got {other.config} for {codec.config}")
    mine, theirs = codec.state_dict(), other.state_dict()
    codec.load_state_dict({name: (value + theirs[name]) / 2 for name, value in mine.items()})


def main() -> None:
    options = arguments()
    loaded = checkpoint.load(options.weights, with_profile=False)
    if options.average_with:
        average(loaded.codec, checkpoint.load(options.average_with, with_profile=False).codec)
    photographs, small = load_training(options.data)
    fine = crop_bank(photographs, small, crop=options.crop, small_share=options.small_share, seed=options.seed)
    batches = [fine.draw(options.crops).numpy()]
    if photographs:
        coarse = crop_bank(photographs, crop=4 * options.crop, largest_factor=2, seed=options.seed)
        batches.append(coarse.draw(max(1, options.crops // 10)).numpy())
    by_method = contributions(loaded.codec, batches[0][: min(1000, options.crops)], options.probes, options.seed)
    samples = feature_samples(loaded.codec, batches, seed=options.seed)
    print(f"fitting codebooks to {len(samples)} samples a channel")
    codebooks = fit_codebooks(samples)
    maximum = np.abs(samples).max(axis=0).astype(np.float32)
    quantizers: dict[str, Quantizer] = {"lloyd_max": LloydMax(codebooks), "fixed_point": FixedPoint(maximum)}
    distortion = {name: measure_distortion(samples, q).astype(np.float32) for name, q in quantizers.items()}
    profile = Profile(
        contribution={name: by_method[name] for name in CONTRIBUTIONS},
        variance=np.square(samples, dtype=np.float64).mean(axis=0).astype(np.float32),
        maximum=maximum,
        codebooks=codebooks,
        distortion=distortion,
        unfolded=by_method.get("unfolded"),
        under_noise=by_method.get("under_noise"),
        sending_order=sending_order(loaded.codec, batches[0][: options.ordering_crops], options.seed),
    )
    # The decoder weighs features by this power, so it should be that of the calibration set.
    if loaded.codec.gains is None:
        loaded.codec.feature_power.copy_(torch.from_numpy(profile.variance).clamp_min(1e-4))
    facts = {key: value for key, value in loaded.metadata.items() if key != "config"}
    facts["profile"] = json.dumps(
        {
            "data": [p.name for p in options.data],
            "crops": [len(b) for b in batches],
            "crop": options.crop,
            "seed": options.seed,
            "am_gm_db": round(profile.am_gm_db, 2),
        }
    )
    facts |= dict(note.split("=", 1) for note in options.note)
    out = options.out or checkpoint.weights_path(options.weights)
    checkpoint.save(out, loaded.codec, profile, facts)
    print(f"AM/GM of w·σ²: {profile.am_gm_db:.2f} dB, the most that unequal bits can win over equal ones")
    for bits in (2, 3, 4, 6, 8):
        allocated = profile.allocate("optimal", bits, feature_count=64 * profile.channels)
        print(f"optimal at {bits} bits a feature: {' '.join(map(str, allocated))} (of at most {MAX_BITS})")
    print(f"wrote {out}")


if __name__ == "__main__":
    try:
        main()
    except (TrainingDataError, checkpoint.WeightsError, ValueError) as error:
        raise SystemExit(f"profile: {error}") from None
