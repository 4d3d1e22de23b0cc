"""Train a codec.

    python tools/train.py --data photographs/ cifar10.npz --minutes 60 --out runs/small
    python tools/train.py --stage 2 --weights swin-c32.safetensors --data photographs/ --minutes 20 --out runs/stage2
    torchrun --nproc-per-node 4 tools/train.py --preset paper --data photographs/ --steps 200000 --out runs/paper

Stage 1 trains encoder and decoder through drawn channels (AWGN, Rayleigh, Rician; SNR drawn for each picture). Stage 2
continues from weights with a profile, quantization in the loop. `--out` holds `state.pt` (to resume from) and
`codec.safetensors` (the averaged weights); run `tools/profile.py` on the latter before use in a link.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The folder has a profile.py, the name of a standard module, which PyTorch imports.
sys.path[:] = [p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent]

import argparse
import os
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semstream.codec import checkpoint
from semstream.codec.air import AirDraw
from semstream.codec.codec import PRECISIONS, SemanticCodec, fast_bf16
from semstream.codec.config import MEDIUM, PAPER, PHOTO, SMALL
from semstream.codec.lapped import widened
from semstream.codec.linear import fit_linear_code
from semstream.codec.optimizer import OPTIMIZERS, Optimizers
from semstream.codec.training import (
    QuantizationDraw,
    StateError,
    TrainingStep,
    learning_rate,
    load_state,
    save_state,
)
from semstream.data.crops import CropSampler, TrainingDataError
from semstream.data.training import load_training
from semstream.progress import Progress

PRESETS = {"paper": PAPER, "small": SMALL, "medium": MEDIUM, "photo": PHOTO}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="folders of pictures, CIFAR, Tiny ImageNet, .npz"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; resumes where it holds a state")
    parser.add_argument("--stage", type=int, choices=(1, 2), default=1)
    parser.add_argument("--weights", default="", help="weights to continue from (stage 2: with a profile)")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="medium")
    parser.add_argument("--channels", type=int, help="features a site, C (default: the preset's)")
    parser.add_argument("--no-linear-path", action="store_true", help="the paper's network alone")
    parser.add_argument("--lap", type=int, default=0, help="sites that the linear path sees on each axis, odd")
    parser.add_argument("--linear-rate", type=float, default=0.1, help="of the linear path, on the learning rate")
    parser.add_argument("--freeze-encoder", action="store_true", help="train the decoder alone")
    parser.add_argument("--steps", type=int, default=10**9, help="stop after this many steps")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this many minutes, resumed time included"
    )
    parser.add_argument(
        "--session-minutes", type=float, default=float("inf"), help="leave a state to resume from after these"
    )
    parser.add_argument("--batch", type=int, default=32, help="crops a step and process")
    parser.add_argument("--crop", type=int, default=32, help="side of a crop in pixels")
    parser.add_argument("--largest-factor", type=float, default=8.0, help="photographs are shrunk by 1 to this first")
    parser.add_argument("--small-share", type=float, default=0.5, help="share of crops from the small dataset")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="muon")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--warm-up", type=float, default=0.01, help="share of the training in which the rate rises")
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--average", type=float, default=0.999, help="decay of the exponential average of weights")
    parser.add_argument("--bits", type=float, nargs="+", default=(2, 3, 4, 6, 8), help="stage 2: budgets drawn")
    parser.add_argument(
        "--schemes", nargs="+", default=("optimal", "optimal", "uniform"), help="stage 2: allocations drawn"
    )
    parser.add_argument("--snr", type=float, nargs=2, default=(0.0, 20.0), help="bounds of the drawn SNR in dB")
    parser.add_argument("--loss", choices=("log_mse", "mse"), default="log_mse")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: PyTorch's)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto: bf16 where it is fast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate", type=Path, help=".npz whose x_test is measured at times (never trained on)")
    return parser.parse_args()


def validation_psnr(
    codec: SemanticCodec, pictures: Tensor, snrs_db: tuple[float, ...] = (1, 4, 7, 10, 13)
) -> list[float]:
    """Mean PSNR (dB) over AWGN, unquantized, one value an SNR."""
    generator = torch.Generator(device=pictures.device).manual_seed(1)
    result = []
    with torch.no_grad():
        for snr_db in snrs_db:
            features, scale = codec.encode(pictures)
            variance = torch.full_like(features, 10 ** (-snr_db / 10))
            noise = torch.randn(features.shape, generator=generator, device=pictures.device)
            restored = codec.decode(
                features + variance.sqrt() * noise, variance, scale, (pictures.shape[-2], pictures.shape[-1])
            )
            mse = (restored.clamp(0, 1) - pictures).square().mean(dim=(1, 2, 3))
            result.append(float((-10 * mse.log10()).mean()))
    return result


def to_tensor(batch: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(batch).to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255


def build(options: argparse.Namespace, sampler: CropSampler) -> tuple[SemanticCodec, Any]:
    """The codec to train and its profile: from weights, or new with the linear code of the training crops."""
    if options.stage == 2 or options.weights:
        loaded = checkpoint.load(options.weights)
        if options.stage == 2 and loaded.profile is None:
            raise checkpoint.WeightsError("stage 2 needs weights with a profile; run tools/profile.py on them first")
        codec = widened(loaded.codec, options.lap) if options.lap else loaded.codec
        return codec.requires_grad_(True), loaded.profile
    config = PRESETS[options.preset]
    linear = not options.no_linear_path
    config = replace(
        config,
        channels=options.channels or config.channels,
        linear_path=linear,
        gated=config.gated and linear,
        lap=options.lap or config.lap,
    )
    crops = sampler.batch(max(400, 4000 * 32**2 // options.crop**2)).astype(np.float32) / np.float32(255)
    s = config.stride
    tiles = crops[:, : crops.shape[1] // s * s, : crops.shape[2] // s * s]
    n, h, w, c = tiles.shape
    patches = tiles.reshape(n, h // s, s, w // s, s, c).transpose(0, 1, 3, 2, 4, 5).reshape(-1, s * s * c)
    return SemanticCodec(config, fit_linear_code(patches, config.channels)), None


class Training:
    """One process of a training: the codec, its average, the optimizers, and what has been done so far."""

    def __init__(self, options: argparse.Namespace, world: int, rank: int) -> None:
        self.options, self.world, self.rank = options, world, rank
        self.state_path = options.out / "state.pt"
        photographs, small = load_training(options.data)
        resumed = load_state(self.state_path, options.device) if self.state_path.exists() else None
        done: dict[str, Any] = resumed[1] if resumed else {"step": 0, "seconds": 0.0}
        self.step, self.seconds_before, self.begun = int(done["step"]), float(done["seconds"]), time.monotonic()
        # A resumed run draws other crops than those it has seen.
        seed = options.seed * 1_000_003 + self.step * 1009 + rank
        self.sampler = CropSampler(
            photographs,
            small,
            crop=options.crop,
            small_share=options.small_share,
            largest_factor=options.largest_factor,
            seed=seed,
        )
        self.codec, profile = build(options, self.sampler)
        self.codec.to(options.device).train()
        if options.freeze_encoder:
            self.codec.analysis.requires_grad_(False)
            self.codec.linear_analysis.requires_grad_(False)
        self.average: Any = torch.optim.swa_utils.AveragedModel(
            self.codec, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(options.average), use_buffers=True
        )
        self.optimizers = Optimizers(self.codec, options.optimizer, options.weight_decay, options.linear_rate)
        if resumed:
            self.codec.load_state_dict(resumed[0]["codec"])
            self.average.load_state_dict(resumed[0]["average"])
            try:
                self.optimizers.load_state_dict(resumed[0]["optimizers"])
            except (KeyError, ValueError) as error:
                raise StateError(f"state {self.state_path}: {error}") from None
        quantization = None
        if options.stage == 2:
            quantization = QuantizationDraw(tuple(options.bits), tuple(options.schemes))
        self.module: nn.Module = TrainingStep(
            self.codec, AirDraw(snr_db=tuple(options.snr)), options.loss, seed, options.device, profile, quantization
        )
        if world > 1:
            self.module = nn.parallel.DistributedDataParallel(self.module)
        self.kind = options.device.partition(":")[0]
        self.bf16 = options.precision == "bf16" or (options.precision == "auto" and fast_bf16(self.kind))
        self.validation = None
        if options.validate and rank == 0:
            with np.load(options.validate, allow_pickle=False) as file:
                self.validation = to_tensor(file["x_test"][:100], options.device)

    @property
    def seconds(self) -> float:
        """Seconds of training, those before it was resumed included."""
        return self.seconds_before + time.monotonic() - self.begun

    def progress(self) -> tuple[float, bool]:
        """How far the training is, 0 to 1, and whether to leave off now; the same in every process."""
        options = self.options
        progress = max(self.step / options.steps, self.seconds / 60 / options.minutes)
        over = progress >= 1 or (time.monotonic() - self.begun) / 60 >= options.session_minutes
        if self.world > 1:
            # Clocks differ: unless one decides, learning rates drift apart and one process stops alone.
            shared = torch.tensor([progress, float(over)], dtype=torch.float64, device=options.device)
            torch.distributed.broadcast(shared, 0)
            progress, over = float(shared[0]), bool(shared[1])
        return progress, over

    def take(self, batch: np.ndarray, progress: float) -> Tensor:
        """One step; returns the loss."""
        self.optimizers.set_learning_rate(learning_rate(progress, self.options.learning_rate, self.options.warm_up))
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.bf16):
            loss: Tensor = self.module(to_tensor(batch, self.options.device))
        self.optimizers.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizers.step()
        self.average.update_parameters(self.codec)
        self.step += 1
        return loss.detach()

    def keep(self) -> None:
        """Write the state to resume from and the averaged weights."""
        options = self.options
        facts = {"step": self.step, "seconds": self.seconds, "crops": self.step * options.batch * self.world}
        parts = {"codec": self.codec, "average": self.average, "optimizers": self.optimizers}
        save_state(self.state_path, {name: part.state_dict() for name, part in parts.items()}, facts)
        record = {
            key: value if np.isscalar(value) else str(value)
            for key, value in vars(options).items()
            if key not in ("out", "validate")
        }
        record["data"] = ", ".join(path.name for path in options.data)
        record["weights"] = Path(options.weights).name
        checkpoint.save(options.out / "codec.safetensors", self.average.module, None, {"training": record, **facts})

    def quality(self) -> str:
        """PSNR of the averaged weights on the validation pictures, in words."""
        assert self.validation is not None
        psnr = " / ".join(f"{p:.2f}" for p in validation_psnr(self.average.module, self.validation))
        return f"{psnr} dB at 1 / 4 / 7 / 10 / 13 dB"

    def run(self) -> bool:
        """Train to the end; whether Ctrl-C came before it."""
        options = self.options
        total = options.steps if options.steps < 10**9 else None
        smooth, last_kept, interrupted, text = None, time.monotonic(), False, ""
        try:
            with Progress("steps", total, done=self.step, quiet=self.rank > 0) as bar:
                for batch in self.sampler.batches(options.batch):
                    progress, over = self.progress()
                    if over:
                        break
                    loss = self.take(batch, progress)
                    if self.step % 50 == 0:
                        smooth = loss.item() if smooth is None else 0.9 * smooth + 0.1 * loss.item()
                        text = f"loss {smooth:.3f}, {progress:.1%}"
                    bar.advance(1, text)
                    if self.rank == 0 and time.monotonic() - last_kept > 120:
                        self.keep()
                        last_kept = time.monotonic()
                        if self.validation is not None:
                            bar.note(f"step {self.step}, {self.seconds / 60:.1f} min: {self.quality()}")
        except KeyboardInterrupt:
            interrupted = True
        return interrupted


def main() -> None:
    options = arguments()
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if options.threads:
        torch.set_num_threads(options.threads)
    if world > 1:
        torch.distributed.init_process_group("nccl" if options.device == "cuda" else "gloo")
        if options.device == "cuda":
            options.device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(options.device)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    training = Training(options, world, rank)
    interrupted = training.run()
    if rank == 0:
        training.keep()
        if training.validation is not None:
            print("PSNR", training.quality())
        print(f"wrote {options.out / 'codec.safetensors'} after {training.step} steps")
    if world > 1:
        torch.distributed.destroy_process_group()
    if interrupted:
        print("interrupted: the same command goes on from here")
        raise SystemExit(130)


if __name__ == "__main__":
    try:
        main()
    except (TrainingDataError, checkpoint.WeightsError, StateError) as error:
        raise SystemExit(f"train: {error}") from None
