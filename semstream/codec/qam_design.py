"""QAM formats made for an SNR, and the bits a feature that fill them."""

from __future__ import annotations

import math
from typing import Any

from semstream.codec.checkpoint import load_profile
from semstream.codec.coder import FeatureCoder
from semstream.codec.config import CodecConfig
from semstream.codec.qam_format import QamFormat
from semstream.codec.qam_link import QamLink
from semstream.phy.base_graph import LEAST_RATE
from semstream.phy.capacity import bits_per_use
from semstream.phy.errors import PhyError
from semstream.phy.information import best_order, code_rate
from semstream.phy.qam import ORDERS

KINDS = ("uncoded", "power", "unequal", "ldpc")
MARGIN_DB = 0.75
"""SNR above that of an ideal code which words of some 1,000 bits need to decode 99 times in 100."""
_UNCODED_RATE = 0.85


def designed(kind: str, snr_db: float, channel_uses: int, *, spread_db: float = 0.5, **format: Any) -> QamFormat:
    """The format that fills so many channel uses at an SNR, without trial.

    Parameters
    ----------
    kind
        ``uncoded``: the largest constellation whose bits carry most of what they are (0.85 bit). ``power``: the same,
        with 2 dB more for the more significant half and 2 dB less for the other. ``ldpc``: the order and rate of an
        ideal code, less `MARGIN_DB`. ``unequal``: the same with a stronger code for what is more significant, so that
        all layers just decode; `spread_db` says by how much they differ, and what is left below that SNR.
    snr_db
        Es/N0 to design for; ``inf`` is 44 dB.
    channel_uses
        Of a frame, header counted.
    spread_db
        Of ``unequal``; two layers up to 1 dB, three above.
    **format
        Other fields of `QamFormat`.

    Raises
    ------
    PhyError
        For another kind.
    """
    if kind not in KINDS:
        raise PhyError(f"modulation: expected one of {', '.join(KINDS)}, got {kind!r}")
    if kind in ("uncoded", "power"):
        fitting = [order for order in ORDERS if code_rate(order, snr_db) >= _UNCODED_RATE]
        order = max(fitting, default=ORDERS[0])
        if kind == "uncoded":
            return QamFormat(order, 1.0, channel_uses, **format)
        return QamFormat(order, 1.0, channel_uses, "power", 2.0, 2, **format)
    spread_db = 0.0 if kind == "ldpc" else spread_db
    order, rate = best_order(snr_db - MARGIN_DB - 0.6 * spread_db)
    rate = max(rate, LEAST_RATE[2])
    if kind == "ldpc":
        return QamFormat(order, rate, channel_uses, **format)
    return QamFormat(order, rate, channel_uses, "code", spread_db, 2 if spread_db <= 1 else 3, **format)


def equivalent_snr_db(channel: str, snr_db: float) -> float:
    """SNR at which AWGN carries as much as a fading channel that is known, many fades a frame.

    Parameters
    ----------
    channel
        ``awgn``, ``rayleigh``, ``rician`` or ``composite``; of this the fading alone, for its noise swings from frame
        to frame, which an estimate of the SNR follows and a label does not.
    snr_db
        Es/N0 in dB.

    Raises
    ------
    ValueError
        For another channel.
    """
    bits = bits_per_use("rician" if channel == "composite" else channel, snr_db)
    return 10 * math.log10(2**bits - 1) if math.isfinite(bits) else math.inf


def link_of(weights: str = "") -> QamLink:
    """Both ends of a QAM transmission for some weights.

    Raises
    ------
    WeightsError
        As for `semstream.codec.checkpoint.load_profile`.
    """
    profile, metadata = load_profile(weights)
    return QamLink(FeatureCoder(profile), CodecConfig.from_json(metadata.get("config", "{}")).stride)


def filling(
    kind: str, snr_db: float, size: tuple[int, int], weights: str = "", **design: Any
) -> tuple[QamFormat, float]:
    """The format of a kind, and its bits a feature, on the channel uses that amplitudes would take.

    Parameters
    ----------
    kind, snr_db, **design
        As for `designed`.
    size
        (H, W) of the pictures.
    weights
        Of the codec.

    Raises
    ------
    PhyError
        For another kind, or pictures too small for their header.
    """
    link = link_of(weights)
    height, width, channels = link.feature_shape(size)
    form = designed(kind, snr_db, (height * width * channels + 1) // 2, **design)
    return form, link.budget(size, form)
