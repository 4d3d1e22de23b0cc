"""A function that builds a flowgraph, made a command: its parameters and the options of every run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, get_type_hints

import typer

from semstream.runtime import Flowgraph, SemstreamError
from semstream.script.execution import Report, execute
from semstream.script.options import RunOptions


def run_as_command(*build: Callable[..., Flowgraph], report: Report | None = None) -> None:
    """Run the flowgraph that a function builds, as the command line says; ends the program.

    Parameters
    ----------
    *build
        Each parameter is an option, typed and described as typer does it (`semstream.script` has the usual ones); a
        name that the runs' own options have is the function's. The docstring is the help. Several functions become
        commands of the script, by name.
    report
        Lines to print below the table of qualities, made of the finished run.

    Raises
    ------
    SystemExit
        Always: 0 as asked, 1 the run has failed, 2 an option is wrong, 130 Ctrl-C, 143 SIGTERM.

    Examples
    --------
    >>> def flowgraph(bits: float = 3.0) -> Flowgraph: ...
    >>> if __name__ == "__main__":
    ...     run_as_command(flowgraph)   # doctest: +SKIP
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, help=sys.modules["__main__"].__doc__)
    for function in build:
        app.command()(_command(function, report))
    app()


def _command(build: Callable[..., Flowgraph], report: Report | None) -> Callable[..., None]:
    out = Path("out") / Path(inspect.getfile(build)).stem

    @with_run_options(out=out)
    @wraps(build)
    def command(options: RunOptions, **values: Any) -> None:
        try:
            graph = build(**values)
            execute(graph, options, _title(graph.name, build, values), report)
        except (SemstreamError, ValueError, OSError) as error:  # what a user can cause
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None

    return command


def _title(name: str, build: Callable[..., Flowgraph], values: dict[str, Any]) -> str:
    """The graph's name and the options that differ from their defaults: what a table or figure shows."""
    usual = inspect.signature(build).parameters
    told = {n: v for n, v in values.items() if v != usual[n].default}
    return " ".join([name, *(f"--{n.replace('_', '-')} {v}" for n, v in told.items())])


def with_run_options(**defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of every run; it gets them as its first argument, ``options``.

    Parameters
    ----------
    **defaults
        In place of `RunOptions`' own.
    """
    hints = get_type_hints(RunOptions, include_extras=True)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = {n: p for n, p in inspect.signature(command).parameters.items() if n != "options"}
        types = get_type_hints(inspect.unwrap(command), include_extras=True)
        shared = {f.name: defaults.get(f.name, f.default) for f in fields(RunOptions) if f.name not in own}

        def flat(**values: Any) -> None:
            options = RunOptions(**{name: values.pop(name) for name in shared})
            command(options, **values)

        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [p.replace(annotation=types[n], kind=kind) for n, p in own.items()]
        parameters += [inspect.Parameter(n, kind, default=v, annotation=hints[n]) for n, v in shared.items()]
        flat.__name__, flat.__doc__ = command.__name__, command.__doc__
        flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        flat.__annotations__ = {p.name: p.annotation for p in parameters}
        return flat

    return decorate
