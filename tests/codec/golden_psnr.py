"""Golden PSNRs of the shipped weights on committed synthetic pictures.

    python tests/codec/golden_psnr.py      # after new weights: writes tests/codec/golden/psnr.json

The pictures are low-pass noise with edges (8 of 64×64, 8 bits), the noise is NumPy's Philox, the network runs in fp32.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent / "golden"
SNRS_DB = (1.0, 7.0, 13.0)
BITS = (2.0, 4.0, 8.0)


def pictures() -> np.ndarray:
    """(8, 64, 64, 3) uint8, as committed."""
    with np.load(FOLDER / "pictures.npz", allow_pickle=False) as file:
        found: np.ndarray = file["pictures"]
    return found


def measure(weights: str) -> dict[str, float]:
    """PSNR in dB of each case: unquantized over AWGN, and optimal allocation without channel noise."""
    import torch

    from semstream.codec import checkpoint
    from semstream.codec.coder import FeatureCoder

    loaded = checkpoint.load(weights)
    assert loaded.profile is not None
    coder = FeatureCoder(loaded.profile)
    original = pictures()
    x = torch.from_numpy(original).permute(0, 3, 1, 2).float() / 255
    size = (original.shape[1], original.shape[2])

    def quality(features: np.ndarray, variance: np.ndarray, scale: torch.Tensor) -> float:
        with torch.inference_mode():
            got = loaded.codec.decode(torch.from_numpy(features), torch.from_numpy(variance), scale, size)
        rounded = got.clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).numpy()
        mse = ((rounded - original.astype(np.float32)) ** 2).mean(axis=(1, 2, 3))
        return round(float((10 * np.log10(255**2 / mse)).mean()), 4)

    def encoded(snr_db: float) -> tuple[np.ndarray, torch.Tensor]:
        with torch.inference_mode():
            features, scale = loaded.codec.encode(x, torch.full((len(x),), snr_db))
        return features.numpy(), scale

    result = {}
    for snr_db in SNRS_DB:
        features, scale = encoded(snr_db)
        noise = np.random.Generator(np.random.Philox(key=7)).standard_normal(features.shape, dtype=np.float32)
        variance = np.full_like(features, 10 ** (-snr_db / 10))
        result[f"unquantized, {snr_db:g} dB"] = quality(features + np.sqrt(variance) * noise, variance, scale)
    features, scale = encoded(float("inf"))
    for bits in BITS:
        received = []
        for s, factor in zip(features, scale.tolist(), strict=True):
            coded = coder.quantize(s, size=size, scale=factor, mean_bits=bits)
            sent = coder.amplitudes(coded.payload, coded.side)
            received.append(coder.observe(sent, np.zeros_like(sent), coded.side))
        values, variances = (np.stack(part) for part in zip(*received, strict=True))
        result[f"optimal, {bits:g} bits, error-free"] = quality(values, variances, scale)
    return result


def shipped() -> list[str]:
    """Names of the shipped weights."""
    from semstream.codec.checkpoint import weights_path

    return sorted(path.stem for path in weights_path().parent.glob("*.safetensors"))


def main() -> None:
    """Write the golden values of all shipped weights."""
    values = {name: measure(name) for name in shipped()}
    (FOLDER / "psnr.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(values, indent=2))


if __name__ == "__main__":
    main()
