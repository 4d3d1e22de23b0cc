"""A flowgraph from the file that a command names: FILE.yaml, or FILE.py that offers one."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semstream.runtime import Flowgraph

FUNCTION = "flowgraph"
YAML = (".yaml", ".yml")


def kind(path: Path) -> str:
    """``yaml``, ``script`` (a .py that runs itself), ``module`` (a .py that only offers a flowgraph) or ``other``.

    Nothing is run: a .py is only read.
    """
    if path.suffix.lower() in YAML:
        return "yaml"
    if path.suffix != ".py":
        return "other"
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return "script"
    offers = any(isinstance(node, ast.FunctionDef) and node.name == FUNCTION for node in body)
    runs = any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in body)
    return "module" if offers and not runs else "script"


def open_flowgraph(path: Path) -> Flowgraph:
    """The flowgraph in a file.

    Parameters
    ----------
    path
        YAML, or Python with a function ``flowgraph()`` that returns one.

    Raises
    ------
    FlowgraphFileError
        If the file cannot be read, or what is wrong with it: one line a finding.
    """
    from semstream.runtime import Flowgraph, FlowgraphFileError
    from semstream.runtime.errors import Finding

    def wrong(message: str, line: int = 0) -> FlowgraphFileError:
        return FlowgraphFileError(str(path), [Finding(line, message)])

    if not path.is_file():
        raise wrong("no such file")
    if path.suffix.lower() in YAML:
        return Flowgraph.load(path)
    if path.suffix != ".py":
        raise wrong("expected a flowgraph, FILE.yaml or FILE.py")
    made = _made(path, wrong)
    if not isinstance(made, Flowgraph):
        raise wrong(f"{FUNCTION}() gave {type(made).__name__}; expected it to return a Flowgraph")
    try:
        made.validate()
    except Exception as error:
        raise wrong(str(error)) from None
    return made


def _made(path: Path, wrong: object) -> object:
    import importlib
    import sys
    import traceback

    assert callable(wrong)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python FILE.py` does; child processes find its blocks there
    try:
        module = importlib.import_module(path.stem)
        if Path(getattr(module, "__file__", None) or "").resolve() != path.resolve():
            raise wrong(f"a module of the name {path.stem!r} is there already; give the file another name")
        function = getattr(module, FUNCTION, None)
        if not callable(function):
            raise wrong(f"offers no flowgraph; define {FUNCTION}() that returns one, or run it: semstream run {path}")
        return function()
    except (Exception, SystemExit) as error:
        from semstream.runtime import FlowgraphFileError

        if isinstance(error, FlowgraphFileError):
            raise
        here = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path.resolve()]
        line = error.lineno if isinstance(error, SyntaxError) else here[-1] if here else 0
        words = " ".join(str(error).split())
        raise wrong(f"{type(error).__name__}: {words}", line or 0) from None
