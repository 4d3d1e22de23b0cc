"""Keeps a child process that loads the user's script from running the script's flowgraph again."""

from __future__ import annotations

import runpy
import sys
import types

from semstream.runtime.errors import FlowgraphError

_loading = False


def refuse_in_child() -> None:
    """Refuse to start a flowgraph while a child loads its main script.

    Raises
    ------
    FlowgraphError
        If so; the message says how to write the script.
    """
    if _loading:
        raise FlowgraphError(
            "this script runs its flowgraph when it is imported, and the engine 'processes' imports it to find its "
            "blocks; put the run under: if __name__ == '__main__':"
        )


def load_main(path: str) -> None:
    """Load the user's script as ``__main__`` without running what stands under its ``__name__`` guard."""
    global _loading
    _loading = True
    try:
        module = types.ModuleType("__mp_main__")
        sys.modules["__mp_main__"] = module
        module.__dict__.update(runpy.run_path(path, run_name="__mp_main__"))
        sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    finally:
        _loading = False
