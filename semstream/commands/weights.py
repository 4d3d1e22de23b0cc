"""``semstream weights``: what weights are on this machine, and fetching those of LPIPS."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Literal

import typer

from semstream.commands import FAILED, fail

app = typer.Typer(rich_markup_mode=None)
weights = typer.Typer(rich_markup_mode=None)
app.add_typer(weights, name="weights")


@weights.callback(invoke_without_command=True)
def list_weights(context: typer.Context) -> None:
    """List the weights of the codec that are shipped, and those of LPIPS that are on this machine."""
    if context.invoked_subcommand is None:
        _codec()
        _lpips()


@weights.command()
def lpips(
    net: Annotated[Literal["vgg", "alex", "squeeze"], typer.Argument(help="backbone; the paper's is vgg")] = "vgg",
    url: Annotated[str, typer.Option(help="another address of the same file, e.g. a mirror's")] = "",
) -> None:
    """Fetch the ImageNet weights by which LPIPS compares pictures, into PyTorch's cache, and check their sum."""
    from semstream.metrics.perceptual import BACKBONES, LpipsError, cached_file, fetch

    backbone, target = BACKBONES[net], cached_file(net)
    if not target.is_file():
        typer.echo(f"fetching {backbone.title} ({backbone.megabytes} MB) from {url or backbone.url}", err=True)
    try:
        path = fetch(net, url, progress=sys.stderr.isatty())
    except LpipsError as error:
        fail(error, FAILED)
    except KeyboardInterrupt:
        typer.echo("stopped; nothing is left behind", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, the sum is right")


def _codec() -> None:
    from semstream.codec.checkpoint import WeightsError, load_profile, weights_path

    try:
        folder = weights_path().parent
        for path in sorted(folder.glob("*.safetensors")):
            profile, metadata = load_profile(path.stem)
            config = json.loads(metadata["config"])
            whose = f"a decoder of {metadata['decoder_of']}, " if "decoder_of" in metadata else ""
            typer.echo(
                f"{path.stem}: {whose}{path.stat().st_size / 1e6:.1f} MB, {profile.channels} channels, "
                f"widths {config['widths']}, window {config['window']}, {metadata.get('step', '?')} steps, "
                f"AM/GM {profile.am_gm_db:.1f} dB"
            )
    except WeightsError as error:
        fail(error)


def _lpips() -> None:
    from semstream.metrics.perceptual import BACKBONES, LpipsError, find

    for net, backbone in BACKBONES.items():
        try:
            path = find(net)
        except LpipsError as error:
            typer.echo(f"lpips {net}: {error}")
            continue
        way = f"not on this machine; semstream weights lpips {net} fetches it ({backbone.megabytes} MB)"
        typer.echo(f"lpips {net}: {backbone.title}, {path or way}")
