"""What the blocks between the quantizer and the decoder share: reading the side information of a frame."""

from __future__ import annotations

import numpy as np

from semstream.codec.coder import FeatureCoder
from semstream.codec.side_information import SideInformation, SideInformationError
from semstream.runtime import Block, Frame, SkipFrame


def side_information(block: Block, coder: FeatureCoder, frame: Frame) -> SideInformation:
    """The frame's side information; a frame without it, or with one that cannot be true, is skipped and counted."""
    try:
        return SideInformation.from_tags(frame.tags, coder.profile.channels)
    except SideInformationError as error:
        block.log.warning("frame %d: %s; left out", frame.seq, error)
        raise SkipFrame("side_information") from None


def class_map(frame: Frame) -> np.ndarray | None:
    """The packed map of classes, where the frame has one."""
    return frame.arrays.get("class_map")


def passed_on(frame: Frame) -> dict[str, np.ndarray]:
    """Arrays that ride along to the receiver."""
    return {"class_map": frame["class_map"]} if "class_map" in frame else {}
