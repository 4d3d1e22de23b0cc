"""What both QAM blocks share: the link of their weights."""

from __future__ import annotations

from blocks._errors import told_by
from semstream.codec.qam_design import link_of
from semstream.codec.qam_link import QamLink
from semstream.runtime import Block


def open_link(block: Block, weights: str) -> QamLink:
    """The link of some weights; what is wrong with them is told as the block's."""
    with told_by(block, "weights"):
        return link_of(weights)
