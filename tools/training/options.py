"""What `tools/train.py` can be told."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from semstream.codec.codec import PRECISIONS
from semstream.codec.config import MEDIUM, PAPER, PHOTO, SMALL
from semstream.codec.optimizer import OPTIMIZERS
from semstream.codec.training import LOSSES, SCHEDULES
from semstream.metrics.perceptual import BACKBONES

PRESETS = {"paper": PAPER, "small": SMALL, "medium": MEDIUM, "photo": PHOTO}
ENDLESS = 10**9


def arguments(description: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument_group("what is trained").add_argument
    add("--stage", type=int, choices=(1, 2), default=1)
    add("--weights", default="", help="weights to continue from (stage 2: with a profile)")
    add("--preset", choices=sorted(PRESETS), default="medium")
    add("--channels", type=int, help="features a site, C (default: the preset's)")
    add("--no-linear-path", action="store_true", help="the paper's network alone")
    add("--lap", type=int, default=0, help="sites that the linear path sees on each axis, odd")
    add("--folds", type=int, nargs="+", default=[], help="channels to send again, 0 the most important one")
    add("--freeze-encoder", action="store_true", help="train a decoder for the encoder of --weights")

    add = parser.add_argument_group("pictures").add_argument
    add("--data", type=Path, nargs="+", required=True, help="folders of pictures, CIFAR, Tiny ImageNet, .npz")
    add("--crop", type=int, default=32, help="side of a crop in pixels")
    add("--largest-factor", type=float, default=8.0, help="photographs are shrunk by 1 to this first")
    add("--small-share", type=float, default=0.5, help="share of crops from the small dataset")
    add("--validate", type=Path, help=".npz whose x_test is measured at times (never trained on)")

    add = parser.add_argument_group("how long").add_argument
    add("--steps", type=int, default=ENDLESS, help="stop after this many steps")
    add("--minutes", type=float, default=float("inf"), help="stop after this many minutes, resumed time included")
    add("--session-minutes", type=float, default=float("inf"), help="leave a state to resume from after these")
    add("--out", type=Path, required=True, help="folder of the run; resumes where it holds a state")
    add("--estimate", action="store_true", help="measure some steps, say what the training will take, and end")

    add = parser.add_argument_group("how").add_argument
    add("--batch", type=int, default=32, help="crops a step and process")
    add("--optimizer", choices=OPTIMIZERS, default="muon")
    add("--learning-rate", type=float, default=2e-3)
    add("--linear-rate", type=float, default=0.1, help="of the linear path, on the learning rate")
    add("--schedule", choices=SCHEDULES, default="cosine", help="wsd: can be continued with more --steps or --minutes")
    add("--warm-up", type=float, default=0.01, help="share of the training in which the rate rises")
    add("--decay", type=float, default=0.2, help="wsd: share of the training in which the rate falls")
    add("--weight-decay", type=float, default=0.02)
    add("--average", type=float, default=0.999, help="decay of the exponential average of weights")
    add("--bits", type=float, nargs="+", default=(2, 3, 4, 6, 8), help="stage 2: budgets drawn")
    add("--schemes", nargs="+", default=("optimal", "optimal", "uniform"), help="stage 2: allocations drawn")
    add("--snr", type=float, nargs=2, default=(0.0, 20.0), help="bounds of the drawn SNR in dB")
    add("--tail", type=float, default=0.0, help="share of pictures whose least important channels are not sent")
    add("--least-channels", type=float, default=0.2, help="--tail: least share of channels that is sent")
    add("--loss", choices=LOSSES, default="log_mse")
    add("--lpips", choices=("auto", *BACKBONES), default="auto", help="perceptual loss: backbone of LPIPS")
    add("--lpips-weights", default="", help="perceptual loss: file with the backbone's weights")
    add("--perceptual-share", type=float, default=0.5, help="perceptual loss: of log LPIPS against log MSE, 0 to 1")
    add("--seed", type=int, default=0)

    add = parser.add_argument_group("on what").add_argument
    add("--threads", type=int, default=0, help="CPU threads (default: PyTorch's)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--precision", choices=PRECISIONS, default="auto", help="auto: bf16 where it is fast")
    add("--compile", choices=("auto", "on", "off"), default="auto", help="torch.compile; auto: on a GPU")
    return parser.parse_args()
