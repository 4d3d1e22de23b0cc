"""The loop: crops drawn where the codec is, one step after the other, a state to resume from.

On a GPU nothing in a step waits for the device: crops come out of `semstream.data.crop_bank`, the loss is averaged
where it is, optimizers and average work on all tensors at once, and the Swin stages are compiled.

On a CPU compiling gains nothing, as half of the time is matrix products near the machine's peak: 256 crops/s without,
246 with `--compile on` (`--estimate`, `medium`, batch 64, two cores with AVX512-BF16).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semstream.codec import checkpoint
from semstream.codec.air import AirDraw
from semstream.codec.codec import SemanticCodec, fast_bf16
from semstream.codec.folded import folded
from semstream.codec.lapped import widened
from semstream.codec.linear import fit_linear_code
from semstream.codec.optimizer import Optimizers
from semstream.codec.swin import pixels_to_tokens
from semstream.codec.training import (
    Average,
    QuantizationDraw,
    StateError,
    TrainingStep,
    learning_rate,
    load_state,
    save_state,
)
from semstream.data.crop_bank import CropBank, crop_bank
from semstream.data.training import load_training
from semstream.metrics.perceptual import Lpips, LpipsError
from semstream.progress import Progress
from tools.training.options import ENDLESS, PRESETS
from tools.training.validation import to_tensor, validation

KEEP_EVERY_S = 120.0
SHOW_EVERY_S = 10.0


def new_or_loaded(options: argparse.Namespace, bank: CropBank) -> tuple[SemanticCodec, Any]:
    """The codec to train and its profile: from weights, or new with the linear code of the training crops."""
    folds = tuple(options.folds)
    if options.freeze_encoder and (folds or options.lap or not (options.stage == 2 or options.weights)):
        raise checkpoint.WeightsError(
            "--freeze-encoder: trains a decoder for the encoder of --weights as it is, without --lap and --folds"
        )
    if options.stage == 2 or options.weights:
        loaded = checkpoint.load(options.weights)
        if options.stage == 2 and loaded.profile is None:
            raise checkpoint.WeightsError("stage 2 needs weights with a profile; run tools/profile.py on them first")
        codec = widened(loaded.codec, options.lap) if options.lap else loaded.codec
        if options.folds and options.stage == 2:
            raise checkpoint.WeightsError(
                "--folds: stage 2 goes by a profile, which new folds make void; fold in stage 1"
            )
        # A profile is of the channels in their old order.
        codec, profile = (folded(codec, folds), None) if folds else (codec, loaded.profile)
        return codec.requires_grad_(True), profile
    config = PRESETS[options.preset]
    linear = not options.no_linear_path
    config = replace(
        config,
        channels=options.channels or config.channels,
        linear_path=linear,
        gated=config.gated and linear,
        lap=options.lap or config.lap,
    )
    crops = bank.batch(max(400, 4000 * 32**2 // options.crop**2)).permute(0, 2, 3, 1)
    side = options.crop // config.stride * config.stride
    patches = pixels_to_tokens(crops[:, :side, :side], config.stride).flatten(0, 2).cpu().numpy()
    codec = SemanticCodec(config, fit_linear_code(patches, config.channels))
    return folded(codec, folds) if folds else codec, None


class Training:
    """One process of a training: the codec, its average, the optimizers, and what has been done so far."""

    def __init__(self, options: argparse.Namespace, world: int = 1, rank: int = 0) -> None:
        self.options, self.world, self.rank = options, world, rank
        self.falls_at = 1 - options.decay if options.schedule == "wsd" else 1.0
        self.state_path = options.out / "state.pt"
        self.stable_path = options.out / "stable.pt"
        resumed = self._state_to_resume()
        done: dict[str, Any] = resumed[1] if resumed else {"step": 0, "seconds": 0.0}
        self.step, self.seconds_before, self.begun = int(done["step"]), float(done["seconds"]), time.monotonic()
        self.falling = bool(done.get("falling", False))
        photographs, small = load_training(options.data)
        # A resumed run draws other crops than those it has seen.
        seed = options.seed * 1_000_003 + self.step * 1009 + rank
        self.bank = crop_bank(
            photographs,
            small,
            crop=options.crop,
            small_share=options.small_share,
            largest_factor=options.largest_factor,
            device=options.device,
            seed=seed,
        )
        self.codec, profile = new_or_loaded(options, self.bank)
        self.codec.to(options.device).train()
        if options.freeze_encoder:
            self.codec.analysis.requires_grad_(False)
            self.codec.linear_analysis.requires_grad_(False)
            if self.codec.gains is not None:
                self.codec.gains.requires_grad_(False)
        self.average = Average(self.codec, options.average)
        self.optimizers = Optimizers(self.codec, options.optimizer, options.weight_decay, options.linear_rate)
        if resumed:
            self._resume(*resumed)
        quantization = None
        if options.stage == 2:
            quantization = QuantizationDraw(tuple(options.bits), tuple(options.schemes))
        self.lpips = Lpips(options.lpips, options.lpips_weights or None) if options.loss == "perceptual" else None
        if self.lpips is not None and not self.lpips.available:
            raise LpipsError(self.lpips.reason)
        self.module: nn.Module = TrainingStep(
            self.codec,
            AirDraw(snr_db=tuple(options.snr), tail_share=options.tail, least_channels=options.least_channels),
            options.loss,
            seed,
            options.device,
            profile,
            quantization,
            None if self.lpips is None else self.lpips.of_tensors,
            options.perceptual_share,
        )
        self.kind = options.device.partition(":")[0]
        self.bf16 = options.precision == "bf16" or (options.precision == "auto" and fast_bf16(self.kind))
        if self.kind == "cuda":
            torch.set_float32_matmul_precision("high")
        if options.compile == "on" or (options.compile == "auto" and self.kind == "cuda"):
            # In place: names of weights stay as they are. What is drawn at random stays outside.
            self.codec.analysis.compile(dynamic=False)
            self.codec.synthesis.compile(dynamic=False)
        if world > 1:
            self.module = nn.parallel.DistributedDataParallel(self.module)
        self.validation = None
        if options.validate and rank == 0:
            with np.load(options.validate, allow_pickle=False) as file:
                self.validation = to_tensor(file["x_test"][:100], options.device)

    def _state_to_resume(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The last state; of a `wsd` training that is to be longer than it was, the one before its rate fell."""
        options = self.options
        if not self.state_path.exists():
            return None
        last = load_state(self.state_path, options.device)
        if options.schedule == "wsd" and last[1].get("falling") and self.stable_path.exists():
            stable = load_state(self.stable_path, options.device)
            if self._progress(stable[1]) < self.falls_at:
                return stable
        return last

    def _resume(self, tensors: dict[str, Any], facts: dict[str, Any]) -> None:
        try:
            self.codec.load_state_dict(tensors["codec"])
            self.average.codec.load_state_dict(tensors["average"])
            self.optimizers.load_state_dict(tensors["optimizers"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise StateError(
                f"state {self.state_path}: is of another training ({error}); resume with the options it began with, or "
                "name another --out"
            ) from None
        self.average.steps = int(facts["step"])

    @property
    def seconds(self) -> float:
        """Seconds of training, those before it was resumed included."""
        return self.seconds_before + time.monotonic() - self.begun

    def _progress(self, facts: dict[str, Any]) -> float:
        return max(facts["step"] / self.options.steps, facts["seconds"] / 60 / self.options.minutes)

    def progress(self) -> tuple[float, bool]:
        """How far the training is, 0 to 1, and whether to leave off now; the same in every process."""
        options = self.options
        progress = self._progress({"step": self.step, "seconds": self.seconds})
        over = progress >= 1 or (time.monotonic() - self.begun) / 60 >= options.session_minutes
        if self.world > 1:
            # Clocks differ: unless one decides, learning rates drift apart and one process stops alone.
            shared = torch.tensor([progress, float(over)], dtype=torch.float64, device=options.device)
            torch.distributed.broadcast(shared, 0)
            progress, over = float(shared[0]), bool(shared[1])
        return progress, over

    def rate(self, progress: float) -> float:
        """Learning rate at this progress."""
        o = self.options
        return learning_rate(progress, o.learning_rate, o.warm_up, schedule=o.schedule, decay=o.decay)

    def take(self, pictures: Tensor, progress: float) -> Tensor:
        """One step on (B, 3, H, W) pictures; returns the loss, on the device."""
        self.optimizers.set_learning_rate(self.rate(progress))
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.bf16):
            loss: Tensor = self.module(pictures)
        self.optimizers.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizers.step()
        self.average.update(self.codec)
        self.step += 1
        return loss.detach()

    def keep(self, *, stable: bool = False) -> None:
        """Write the state to resume from and the averaged weights; `stable`: that before the rate falls, as well."""
        options = self.options
        facts = {"step": self.step, "seconds": self.seconds, "crops": self.step * options.batch * self.world}
        resume = facts | {"falling": self.falling}
        tensors = {
            "codec": self.codec.state_dict(),
            "average": self.average.codec.state_dict(),
            "optimizers": self.optimizers.state_dict(),
        }
        for path in (self.stable_path,) * stable + (self.state_path,):
            save_state(path, tensors, resume)
        record = {
            key: value if np.isscalar(value) else str(value)
            for key, value in vars(options).items()
            if key not in ("out", "validate", "lpips_weights")
        }
        record["data"] = ", ".join(path.name for path in options.data)
        record["weights"] = options.weights.rpartition("/")[2]
        path, codec, told = options.out / "codec.safetensors", self.average.codec, {"training": record, **facts}
        if options.freeze_encoder:
            checkpoint.save_decoder(path, codec, options.weights, told)
        else:
            checkpoint.save(path, codec, None, told)

    def quality(self) -> str:
        """PSNR of the averaged weights on the validation pictures, in words."""
        assert self.validation is not None
        distance = None if self.lpips is None else self.lpips.of_tensors
        psnr, perceptual = validation(self.average.codec, self.validation, distance)
        words = " / ".join(f"{p:.2f}" for p in psnr) + " dB"
        if perceptual:
            words += ", LPIPS " + " / ".join(f"{p:.4f}" for p in perceptual)
        return words + " at 1 / 4 / 7 / 10 / 13 dB"

    def run(self) -> bool:
        """Train to the end; whether Ctrl-C came before it."""
        total = self.options.steps if self.options.steps < ENDLESS else None
        with Progress("steps", total, done=self.step, quiet=self.rank > 0) as bar:
            try:
                self._train(bar)
            except KeyboardInterrupt:
                return True
        return False

    def _train(self, bar: Progress) -> None:
        smooth: Tensor | None = None
        kept = shown = time.monotonic()
        said = ""
        while True:
            progress, over = self.progress()
            if over:
                return
            if progress >= self.falls_at and not self.falling:
                if self.rank == 0:
                    self.keep(stable=True)
                self.falling = True
            loss = self.take(self.bank.batch(self.options.batch), progress)
            smooth = loss if smooth is None else smooth.lerp_(loss, 0.02)
            now = time.monotonic()
            if now - shown > SHOW_EVERY_S:
                shown = now
                said = f"loss {smooth.item():.3f}, {progress:.1%}"
            bar.advance(1, said)
            if self.rank == 0 and now - kept > KEEP_EVERY_S:
                kept = now
                self.keep()
                if self.validation is not None:
                    bar.note(f"step {self.step}, {self.seconds / 60:.1f} min: {self.quality()}")
