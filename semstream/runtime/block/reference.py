"""How a block's class is named where it is not at hand: in another process, in a file."""

from __future__ import annotations

import os
import sys

from semstream.runtime.block.block import Block
from semstream.runtime.errors import FlowgraphError


def reference_of(block: Block) -> str:
    """``module:qualname`` by which a child finds the block's class.

    Raises
    ------
    FlowgraphError
        If a child cannot find it, with the way out.
    """
    cls = type(block)
    if "<locals>" in cls.__qualname__:
        raise FlowgraphError(
            f"block {block.name!r}: its class {cls.__qualname__} is defined inside a function, where another process "
            "cannot find it; move it to the top level of a module, or use engine='threads'",
            block.name,
        )
    module = cls.__module__
    if module in ("__main__", "__mp_main__"):
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        if spec is not None and spec.name and spec.name != "__main__":
            module = spec.name  # python -m package.module
        elif not main_path():
            raise FlowgraphError(
                f"block {block.name!r}: its class {cls.__qualname__} was typed in, not loaded from a file, and another "
                "process cannot find it; save it in a module, or use engine='threads'",
                block.name,
            )
        else:
            module = "__main__"
    return f"{module}:{cls.__qualname__}"


def main_path() -> str:
    """Path of the user's script, empty if there is none."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(path) if path and os.path.exists(path) else ""
