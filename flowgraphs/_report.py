"""What the flowgraphs share around a run: options, sources, errors. Runs are shown as `semstream run` shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import typer

from blocks import ImageSource
from semstream.commands.show import Control, Monitor, Prometheus, console, finish, run_with_progress
from semstream.metrics.results import notes
from semstream.runtime import SemstreamError

__all__ = [
    "EXPECTED",
    "Control",
    "Monitor",
    "Prometheus",
    "console",
    "fail",
    "finish",
    "notes",
    "numbers",
    "run_with_progress",
    "swept_source",
]

EXPECTED = (SemstreamError, ValueError, OSError)
"""Errors that a user can cause; anything else is a fault of ours and shows its traceback."""


def numbers(text: str) -> list[float]:
    """Numbers of an option such as ``1,4,inf``."""
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if not values or any(np.isnan(values)):
        raise typer.BadParameter(f"expected numbers such as 1,4,7 or inf, got {text!r}")
    return values


def swept_source(source: str, size: int, frames: int, hold: int, fps: float = 0.0) -> ImageSource:
    """Pictures for a sweep that holds each SNR for `hold` frames.

    Every SNR meets the same pictures, so that their qualities compare; in real time (`fps`) the pictures run on.
    """
    settings: dict[str, Any] = {
        "source": source,
        "size": size or None,
        "frames": frames,
        "fps": fps,
        "loop": bool(source),
    }
    if not fps:
        settings["repeat"] = hold
        settings["every"] = 1 if source else max(1, 120 // hold)  # so that the window shows several photographs
    return ImageSource(**settings)


def fail(error: Exception) -> None:
    """End the program with one line on what is wrong."""
    console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if isinstance(error, SemstreamError) else 2)
