"""The `semstream` command: what blocks and weights there are, and running a flowgraph."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)
console = Console()
errors = Console(stderr=True)


def _fail(message: str) -> typer.Exit:
    errors.print(f"semstream: {message}", highlight=False, markup=False, soft_wrap=True)
    return typer.Exit(2)


@app.command()
def blocks(name: Annotated[str, typer.Argument(help="a block, to see its ports and settings")] = "") -> None:
    """List the blocks, or describe one."""
    import blocks as package

    classes: dict[str, Any] = {key: getattr(package, key) for key in package.__all__}
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
        raise _fail(f"no block {name!r}; there are {', '.join(classes)}")
    cls = classes[name]
    console.print(f"{name}\n", (cls.__doc__ or "").strip(), highlight=False, markup=False)
    for title, ports in (("inputs", cls.inputs), ("outputs", cls.outputs)):
        for key, port in ports.items():
            console.print(f"{title[:-1]} {key}: {port.type}", highlight=False, markup=False)
    table = Table(box=None)
    for heading in ("setting", "type", "default", "unit", "live", "description"):
        table.add_column(heading, no_wrap=heading == "setting")
    for key, field in cls.Settings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        kind = str(field.annotation).replace("typing.", "") if get_args(field.annotation) else field.annotation.__name__
        default = "required" if field.is_required() else repr(field.default)
        live = "yes" if extra.get("live") else "no"
        table.add_row(
            *(Text(t) for t in (key, kind, default, str(extra.get("unit", "")), live, field.description or ""))
        )
    console.print(table)


@app.command()
def weights() -> None:
    """List the weights that are shipped."""
    from semstream.codec.checkpoint import WeightsError, load_profile, weights_path

    try:
        folder = weights_path().parent
        for path in sorted(folder.glob("*.safetensors")):
            profile, metadata = load_profile(path.stem)
            config = json.loads(metadata["config"])
            console.print(
                f"{path.stem}: {path.stat().st_size / 1e6:.1f} MB, {profile.channels} channels, "
                f"widths {config['widths']}, "
                f"window {config['window']}, {metadata.get('step', '?')} steps, AM/GM {profile.am_gm_db:.1f} dB",
                highlight=False,
                markup=False,
            )
    except WeightsError as error:
        raise _fail(str(error)) from None


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: typer.Context, file: Annotated[Path, typer.Argument(help="a flowgraph, FILE.py")]) -> None:
    """Run a flowgraph; what follows the file goes to it."""
    if not file.is_file() or file.suffix != ".py":
        raise _fail(f"{file}: expected a Python file that builds and runs a flowgraph")
    sys.argv = [str(file), *context.args]
    sys.path.insert(0, str(file.resolve().parent))
    runpy.run_path(str(file), run_name="__main__")


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
