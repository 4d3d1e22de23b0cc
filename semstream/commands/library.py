"""``semstream blocks`` and ``new-block``: what there is to wire."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semstream.commands import fail

if TYPE_CHECKING:
    from rich.table import Table

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
    for title, ports in (("input", cls.inputs), ("output", cls.outputs)):
        for key, port in ports.items():
            console.print(f"{title} {key}: {port.type}", highlight=False, markup=False)
    console.print(_settings_table(cls))


def _settings_table(cls: Any) -> Table:
    """Settings of a block: type, default, unit, allowed range, whether live, what for."""
    from rich.table import Table
    from rich.text import Text

    from semstream.runtime.block.settings import is_live, kind_of, range_of, unit_of

    table = Table(box=None)
    for heading in ("setting", "type", "default", "unit", "allowed", "live", "description"):
        table.add_column(heading, no_wrap=heading in ("setting", "live"))
    for key, field in cls.Settings.model_fields.items():
        default = "required" if field.is_required() else repr(field.default)
        live = "yes" if is_live(field) else "no"
        cells = (key, kind_of(field), default, unit_of(field), range_of(field), live, field.description or "")
        table.add_row(*map(Text, cells))
    return table


@app.command("new-block")
def new_block(
    name: Annotated[str, typer.Argument(help="name of the class, e.g. Denoiser")],
    folder: Annotated[Path, typer.Option(help="where to write the two files")] = Path("."),
) -> None:
    """Write a block and its test, which both pass, to begin from."""
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) or keyword.iskeyword(name):
        fail(f"{name!r}: expected the name of a class, such as Denoiser")
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    files = {folder / f"{module}.py": _BLOCK, folder / f"test_{module}.py": _TEST}
    there = [str(path) for path in files if path.exists()]
    if there:
        fail(f"{', '.join(there)}: exists already; name another block or folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text.replace("NAME", name).replace("MODULE", module), encoding="utf-8")
    except OSError as error:
        fail(f"{folder}: cannot be written to ({error.strerror or error})")
    for path in files:
        typer.echo(f"wrote {path}")
    typer.echo(f"now: python -m pytest {folder / f'test_{module}.py'}; in YAML: class: {module}:{name}")


_BLOCK = '''"""NAME: what it does, in one line."""

from __future__ import annotations

import numpy as np

from blocks.ports import Image
from semstream.runtime import Block, Frame, In, Out, live


class NAME(Block):
    """Mix each picture with grey.

    Input
    -----
    image : Image, uint8 (H, W, 3).

    Output
    ------
    out : Image, of the same size.
    """

    image = In(Image)
    out = Out(Image)

    class Settings(Block.Settings):
        strength: float = live(0.5, ge=0, le=1, description="0 leaves the picture as it is, 1 is all grey")

    def process(self, frame: Frame) -> Frame:
        s = self.settings.strength
        mixed = (1 - s) * frame["image"] + s * 128
        return frame.replace({"image": mixed.round().astype(np.uint8)})
'''
_TEST = '''"""NAME, one block without sockets."""

from __future__ import annotations

import numpy as np
import pytest
from MODULE import NAME

from semstream.runtime import Frame, SettingsError
from semstream.testing import run_block


def test_a_picture_is_mixed_with_grey() -> None:
    frame = Frame({"image": np.zeros((4, 6, 3), np.uint8)}, tags={"snr_db": 7.0})
    (out,) = run_block(NAME(strength=0.25), [frame])
    assert (out["image"] == 32).all()
    assert out.tags["snr_db"] == 7.0


def test_a_strength_out_of_range_is_refused_with_the_range() -> None:
    with pytest.raises(SettingsError, match="<= 1"):
        NAME(strength=2)
'''


def _classes() -> dict[str, Any]:
    import blocks as package

    return {key: getattr(package, key) for key in package.__all__}
