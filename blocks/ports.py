"""What the ports of the link's blocks carry."""

from semstream.runtime import ArraySpec, PortType

_FEATURES = ArraySpec("float32", ("h", "w", "C"))

Image = PortType("Image", {"image": ArraySpec("uint8", ("H", "W", 3))})
"""A picture, 8 bits a colour."""

Features = PortType("Features", {"features": _FEATURES}, {"noise_variance": _FEATURES})
"""Features of one frame. Received ones come with the variance of the noise on each. Tags: ``size``, ``scale``."""

ClassifiedFeatures = PortType(
    "ClassifiedFeatures",
    {
        "features": _FEATURES,
        "contribution": ArraySpec("float32", ("C",)),
        "classes": ArraySpec("uint8", ("C",)),
    },
    {"contribution_map": _FEATURES, "class_map": ArraySpec("uint8", ("h", "w", "C"))},
)
"""Features with the contribution and the priority class of each channel, or of each feature (the maps)."""

Report = PortType(
    "Report", {"distortion": ArraySpec("float32", ("C", 9)), "measured": ArraySpec("float32", ("G", "S", 3))}
)
"""What a user tells of a frame so that its share of a band can be set (`semstream.sharing.report`)."""

Grants = PortType("Grants", {"grants": ArraySpec("float64", ("users", 4))})
"""Shares of one frame: channels of features, channel uses, energy, bits of each user, by its number from 1 on."""

_CLASS_MAP = {"class_map": ArraySpec("uint8", ("map_bytes",))}

Codes = PortType("Codes", {"payload": ArraySpec("uint8", ("bytes",))}, _CLASS_MAP)
"""Packed codes of one frame; a packed map of classes where one is sent. Tags: the side information."""

Symbols = PortType("Symbols", {"symbols": ArraySpec("complex64", ("N",))}, _CLASS_MAP)
"""Complex symbols of mean power P. Tags: the side information, ``power_gain``."""

ReceivedSymbols = PortType(
    "ReceivedSymbols",
    {
        "received": ArraySpec("complex64", ("N",)),
        "csi": ArraySpec("complex64", ("N",)),
        "noise_variance": ArraySpec("float32", ("N",)),
    },
    _CLASS_MAP,
)
"""y = h ⊙ s + n with the channel state h and the noise power σ² of each symbol. Tags: also ``snr_db``, ``channel``."""

Samples = PortType("Samples", {"samples": ArraySpec("complex64", ("N",))})
"""A piece of a stream of complex samples, of any length: frames on the air are not cut as pieces are."""
