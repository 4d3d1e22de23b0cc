"""``semstream top`` and ``semstream monitor``: a run that goes on elsewhere, in the terminal and in browsers."""

from __future__ import annotations

import typer

from semstream.monitor import commands

app = typer.Typer(rich_markup_mode=None)
app.command()(commands.top)
app.command()(commands.monitor)
