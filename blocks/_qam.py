"""What both QAM blocks share: the link of their weights."""

from __future__ import annotations

from blocks._errors import told_by
from semstream.codec.checkpoint import load_profile
from semstream.codec.coder import FeatureCoder
from semstream.codec.config import CodecConfig
from semstream.codec.qam_link import QamLink
from semstream.runtime import Block


def open_link(block: Block, weights: str) -> tuple[FeatureCoder, QamLink]:
    """Coder and link of some weights."""
    with told_by(block, "weights"):
        profile, metadata = load_profile(weights)
        coder = FeatureCoder(profile)
        return coder, QamLink(coder, CodecConfig.from_json(metadata.get("config", "{}")).stride)
