"""Errors of the mathematics, told as a block's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from semstream.runtime import Block, BlockError


@contextmanager
def told_by(block: Block, setting: str) -> Iterator[None]:
    """Turn what a user can mend (a file, a value) into a `BlockError` that names the block and the setting."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise BlockError(f"block {block.name!r}, setting {setting!r}: {error}") from None
