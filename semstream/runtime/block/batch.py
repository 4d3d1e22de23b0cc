"""Frames that a block is given together: each has its result when its turn comes, and all else goes frame by frame."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from semstream.runtime.block.block import Block
from semstream.runtime.errors import PortError, SkipFrame
from semstream.runtime.frames.frame import Frame


@dataclass(frozen=True)
class Done:
    """What a block has made of one frame of a batch.

    Attributes
    ----------
    result
        As `Block.process` gives it, or what it was dropped or failed by.
    begin_ns
        When the batch was begun (`time.perf_counter_ns`).
    work_ns
        The frame's share of its time.
    """

    result: Any
    begin_ns: int
    work_ns: int

    def take(self) -> Any:
        """The result.

        Raises
        ------
        SkipFrame
            If the block has dropped the frame.
        BaseException
            What the block has failed by at this frame.
        """
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def batches(block: Block) -> bool:
    """Whether a block takes several frames at once."""
    return type(block).process_batch is not Block.process_batch


def done_together(block: Block, frames: Sequence[Frame]) -> deque[Done]:
    """What a block makes of some frames, one entry a frame, the last one a failure if there was one."""
    begin = time.perf_counter_ns()
    results: list[Any] = []
    failed = False
    try:
        for result in block.process_batch(frames):
            results.append(result)
    except SkipFrame as skip:
        failed = True
        results.append(
            PortError(
                f"block {block.name!r} raised SkipFrame({skip.reason!r}) in process_batch(), where nobody knows which "
                "frame it is of; give it in that frame's place instead"
            )
        )
    except BaseException as error:
        failed = True
        results.append(error)
    if len(results) != len(frames) and not failed:
        told = f"block {block.name!r}: process_batch() gave {len(results)} results for {len(frames)} frames"
        results = [*results[: len(frames) - 1], PortError(told + "; give one for each, in order, or None")]
    share = (time.perf_counter_ns() - begin) // len(frames)
    return deque(Done(result, begin, share) for result in results[: len(frames)])
