"""``semstream blocks``, ``new-block`` and ``weights``: what there is to wire."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from semstream.commands import fail

app = typer.Typer(rich_markup_mode=None)


def block_names() -> list[str]:
    """Names of the blocks that come with semstream, read without importing them."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("blocks")
    if spec is None or spec.origin is None:
        return []
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def complete_block(incomplete: str) -> list[str]:
    """For shell completion: blocks that begin so."""
    return [name for name in block_names() if name.startswith(incomplete)]


@app.command()
def weights() -> None:
    """List the weights that are shipped."""
    from semstream.codec.checkpoint import WeightsError, load_profile, weights_path

    try:
        folder = weights_path().parent
        for path in sorted(folder.glob("*.safetensors")):
            profile, metadata = load_profile(path.stem)
            config = json.loads(metadata["config"])
            typer.echo(
                f"{path.stem}: {path.stat().st_size / 1e6:.1f} MB, {profile.channels} channels, "
                f"widths {config['widths']}, window {config['window']}, {metadata.get('step', '?')} steps, "
                f"AM/GM {profile.am_gm_db:.1f} dB"
            )
    except WeightsError as error:
        fail(error)


@app.command()
def blocks(
    name: Annotated[
        str, typer.Argument(help="a block, to see its ports and settings", autocompletion=complete_block)
    ] = "",
) -> None:
    """List the blocks, or describe one: ports, settings with type, unit, default, allowed range, live or not."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    classes = _classes()
    if not name:
        table = Table(box=None)
        for heading in ("block", "takes", "gives", "does"):
            table.add_column(heading, no_wrap=heading == "block")
        for key, cls in classes.items():
            takes = ", ".join(port.type.name for port in cls.inputs.values()) or "-"
            gives = ", ".join(port.type.name for port in cls.outputs.values()) or "-"
            table.add_row(key, takes, gives, (cls.__doc__ or "").strip().splitlines()[0])
        console.print(table)
        return
    if name not in classes:
        fail(f"no block {name!r}; there are {', '.join(classes)}")
    cls = classes[name]
    console.print(f"{name}\n", (cls.__doc__ or "").strip(), highlight=False, markup=False)


def _classes() -> dict[str, Any]:
    import blocks as package

    return {key: getattr(package, key) for key in package.__all__}
