"""Names of block classes in files: ``SwinEncoder`` for one of `blocks`, ``module:Class`` for any other."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semstream.runtime.block.block import Block
from semstream.runtime.block.reference import main_path, reference_of
from semstream.runtime.errors import FlowgraphError
from semstream.runtime.files.document import choice

LIBRARY = "blocks"


def library() -> dict[str, type[Block]]:
    """The blocks that come with semstream, by name."""
    package = importlib.import_module(LIBRARY)
    return {name: getattr(package, name) for name in package.__all__}


def _of_library(name: str) -> type[Block] | None:
    """A block that comes with semstream; the others are not imported."""
    package = importlib.import_module(LIBRARY)
    return getattr(package, name) if name in package.__all__ else None


def find_class(name: str, folder: Path | None = None) -> type[Block]:
    """The class of that name.

    Parameters
    ----------
    name
        ``SwinEncoder`` or ``module:Class``. Importing the module runs it, as running a script of its author would.
    folder
        Searched for the module last, and kept on ``sys.path`` if there is such a module, for child processes.

    Raises
    ------
    FlowgraphError
        If there is none, or it is no block; says what there is.
    """
    module_name, colon, class_name = name.partition(":")
    if not colon:
        found = _of_library(name)
        if found is None:
            known = importlib.import_module(LIBRARY).__all__
            raise FlowgraphError(f"no block class {name!r}; {choice(name, known)}; own ones are MODULE:CLASS")
        return found
    try:
        with _on_path(folder):
            module = importlib.import_module(module_name)
    except Exception as error:  # the module is the user's: whatever it raises is a finding about the file
        why = f"{type(error).__name__}: {error}"
        raise FlowgraphError(f"class {name!r}: cannot import {module_name!r} ({why}); put it beside the file") from None
    cls = getattr(module, class_name, None)
    if not inspect.isclass(cls) or not issubclass(cls, Block):
        there = [n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, Block) and c is not Block]
        raise FlowgraphError(f"class {name!r}: no block {class_name!r} in {module_name!r}; {choice(class_name, there)}")
    return cls


def name_of(block: Block, folder: Path) -> str:
    """Inverse of `find_class` for a file in `folder`.

    Raises
    ------
    FlowgraphError
        If the class cannot be found from a file: it is defined in a function, typed in, or in a script elsewhere.
    """
    cls = type(block)
    if _of_library(cls.__name__) is cls:
        return cls.__name__
    module, _, qualname = reference_of(block).partition(":")
    if module == "__main__":
        script = Path(main_path())
        if script.parent != folder.resolve():
            raise FlowgraphError(
                f"block {block.name!r}: its class is in the script {script}, which a file elsewhere does not find; "
                "save the flowgraph beside the script, or move the class to a module",
                block.name,
            )
        module = script.stem
    return f"{module}:{qualname}"


@contextmanager
def _on_path(folder: Path | None) -> Iterator[None]:
    path = str(folder.resolve()) if folder is not None else ""
    if not path or path in sys.path:
        yield
        return
    sys.path.append(path)
    known = set(sys.modules)
    try:
        yield
    finally:
        ours = (getattr(m, "__file__", None) or "" for n, m in list(sys.modules.items()) if n not in known)
        if not any(file.startswith(path) for file in ours):
            sys.path.remove(path)
