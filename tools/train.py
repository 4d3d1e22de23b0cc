"""Train a codec.

    python tools/train.py --data photographs/ cifar10.npz --minutes 60 --out runs/small
    python tools/train.py --data photographs/ cifar10.npz --minutes 60 --out runs/small --estimate
    python tools/train.py --stage 2 --weights swin-c32.safetensors --data photographs/ --minutes 20 --out runs/stage2
    torchrun --nproc-per-node 4 tools/train.py --preset paper --data photographs/ --steps 200000 --out runs/paper

Stage 1 trains encoder and decoder through drawn channels (AWGN, Rayleigh, Rician; SNR drawn for each picture). Stage 2
continues from weights with a profile, quantization in the loop. `--out` holds `state.pt` (to resume from) and
`codec.safetensors` (the averaged weights); run `tools/profile.py` on the latter before use in a link. `--schedule wsd`
makes a training that can be made longer afterwards: it goes on from where its rate began to fall. `--tail 0.5` leaves
out the least important channels in half of the crops, so that one set of weights serves several bandwidths. `--loss
perceptual` trains for LPIPS beside PSNR, with `--freeze-encoder` a decoder alone. `--folds 0 1 2 3 0 0` sends the most
important channels again in the place of the least important ones, and makes an encoder that is told the SNR.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This folder has a profile.py, the name of a standard module, which PyTorch imports.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import os

import torch

from semstream.codec import checkpoint
from semstream.codec.config import ConfigError
from semstream.codec.training import StateError
from semstream.data.crops import TrainingDataError
from semstream.metrics.perceptual import LpipsError
from tools.training.estimate import estimate
from tools.training.loop import Training
from tools.training.options import arguments


def main() -> None:
    options = arguments(__doc__)
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if options.threads:
        torch.set_num_threads(options.threads)
    if world > 1:
        torch.distributed.init_process_group("nccl" if options.device == "cuda" else "gloo")
        if options.device == "cuda":
            options.device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(options.device)
    torch.manual_seed(options.seed)
    training = Training(options, world, rank)
    if options.estimate:
        measured = estimate(training)
        print(measured)
        if options.minutes < float("inf"):
            print(f"{options.minutes:g} minutes: {measured.crops_per_second * world * options.minutes * 60:,.0f} crops")
        return
    options.out.mkdir(parents=True, exist_ok=True)
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
    except (TrainingDataError, checkpoint.WeightsError, ConfigError, StateError, LpipsError) as error:
        raise SystemExit(f"train: {error}") from None
