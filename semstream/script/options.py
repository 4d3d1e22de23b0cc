"""Options that flowgraphs share, as annotations of parameters, and those that every run has."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Annotated, Literal

import typer

Source = Annotated[str, typer.Option(help="folder, picture, video, dataset or camera:0; empty: photographs")]
Size = Annotated[int, typer.Option(help="side of the pictures in pixels; 0: as they are", min=0)]
Snr = Annotated[str, typer.Option(help="Es/N0 in dB, in turn; inf is error-free")]
Bits = Annotated[float, typer.Option(help="budget in bits a feature", min=1, max=12)]
Channel = Annotated[Literal["awgn", "rayleigh", "rician", "composite"], typer.Option(help="channel model")]
Frames = Annotated[int, typer.Option(help="frames in all", min=1)]
Fps = Annotated[float, typer.Option(help="pace in real time and drop what is late; 0: no pace", min=0)]


@dataclass(frozen=True)
class RunOptions:
    """What every run can be told from the command line. None, empty and 0: as the flowgraph says, or not at all."""

    engine: Annotated[
        Literal["threads", "processes", "ray"] | None,
        typer.Option(help="where blocks run, instead of what the flowgraph says"),
    ] = None
    only: Annotated[
        str | None, typer.Option(metavar="HOST", help="run the part of one host of the flowgraph, here")
    ] = None
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST=ADDRESS:PORT", help="where a host is, not what the flowgraph says; repeatable"),
    ] = None
    keys: Annotated[
        Path | None, typer.Option(help="folder of CURVE certificates of the hosts, as semstream keygen makes it")
    ] = None
    seed: Annotated[int | None, typer.Option(help="seed of all noise, instead of what the flowgraph says")] = None
    durable: Annotated[
        Literal["memory", "disk"] | None,
        typer.Option(help="lose no frame when a block dies, on edges that drop none; disk: sources keep files"),
    ] = None
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="with --durable: keep the run there, so that the same command goes on after this program has died",
        ),
    ] = None
    restart: Annotated[
        Literal["never", "on_failure", "always"] | None,
        typer.Option(help="what is done when a block fails, instead of what the flowgraph says"),
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="BLOCK.SETTING=VALUE", help="change a setting, e.g. air.snr_db=7 or '*.bits=2'; repeatable"
        ),
    ] = None
    weights: Annotated[str | None, typer.Option(help="weights of the codec, name or file, for every block")] = None
    lpips: Annotated[
        Literal["auto", "vgg", "alex", "squeeze", "off"] | None,
        typer.Option(help="backbone of LPIPS for every sink; auto: the first that is on this machine"),
    ] = None
    out: Annotated[Path | None, typer.Option(help="folder for records, table and figures")] = None
    monitor: Annotated[str, typer.Option(help="serve the live page on this port of loopback, or a free one: auto")] = ""
    monitor_keys: Annotated[
        Path | None,
        typer.Option(help="file of CURVE keys, public, secret and clients: who may watch from other hosts"),
    ] = None
    control: Annotated[
        bool, typer.Option("--control", help="let the page steer; its address is printed with a token in it")
    ] = False
    hold: Annotated[bool, typer.Option("--hold", help="keep the page when the run has ended, until Ctrl-C")] = False
    prometheus: Annotated[
        int, typer.Option(help="serve all counters on this port of loopback; 0: not", min=0, max=65535)
    ] = 0


def numbers(text: str) -> list[float]:
    """Numbers of an option such as ``1,4,inf``.

    Raises
    ------
    typer.BadParameter
        If there are none, or anything else.
    """
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if not values or any(map(isnan, values)):
        raise typer.BadParameter(f"expected numbers such as 1,4,7 or inf, got {text!r}")
    return values


def names(text: str, known: Collection[str]) -> list[str]:
    """Words of an option such as ``awgn,rician``, each of those `known` and given once.

    Raises
    ------
    typer.BadParameter
        If there are none, others, or one twice.
    """
    values = text.replace(",", " ").split()
    if not values or set(values) - set(known) or len(set(values)) < len(values):
        raise typer.BadParameter(f"expected some of {', '.join(known)}, each once, got {text!r}")
    return values
