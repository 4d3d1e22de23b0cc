"""What a probe shows of a channel on the live page: constellation, gains, bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from semstream.monitor.arrays import unpack_array
from semstream.monitor.page import style
from semstream.monitor.page.pictures import branches


def channel_probes(snapshot: dict[str, Any]) -> dict[str, str]:
    """What each branch's channel is shown by: the probe of each, by the branch's name."""
    probes = [name for name, block in snapshot["blocks"].items() if block["class"] == "Probe"]
    named = branches(snapshot)
    if len(named) != len(probes):  # channels and comparisons do not go in pairs: by the channel's own name
        named = [name.removesuffix(".probe") for name in probes]
    return dict(zip(named, probes, strict=True))


class ChannelPlots:
    """Constellation, |h| over symbols, and bits a channel of features, of the channel that one probe shows."""

    def __init__(self, probe: str) -> None:
        from bokeh.models.sources import ColumnDataSource

        self.constellation = style.figure(
            "Constellation", x_axis_label="in phase", y_axis_label="quadrature", x_range=(-4, 4), y_range=(-4, 4)
        )
        self._received = ColumnDataSource({"x": [], "y": []})
        self._equalized = ColumnDataSource({"x": [], "y": []})
        self.constellation.scatter("x", "y", source=self._received, size=3, color=style.DIM, alpha=0.5,
                                   legend_label="received")  # fmt: skip
        self.constellation.scatter("x", "y", source=self._equalized, size=3, color=style.BRANCHES[0], alpha=0.7,
                                   legend_label="equalized")  # fmt: skip
        style.dress_legend(self.constellation)
        self.gains = style.figure("Channel gain |h|", x_axis_label="symbol", y_axis_label="dB")
        self._gain = ColumnDataSource({"x": [], "h": [], "n": []})
        self.gains.line("x", "h", source=self._gain, color=style.BRANCHES[0], legend_label="|h|²")
        self.gains.line("x", "n", source=self._gain, color=style.BRANCHES[1], line_width=2, legend_label="noise σ²")
        style.dress_legend(self.gains)
        self.bits = style.figure("Bits a channel of features", x_axis_label="channel", y_axis_label="bits")
        self._bits = ColumnDataSource({"x": [], "top": []})
        self._bars = self.bits.vbar(x="x", top="top", source=self._bits, width=0.8, color=style.BRANCHES[2])
        self._map = ColumnDataSource({"image": [], "dw": [], "dh": []})
        self._tiles = self.bits.image("image", x=0, y=0, dw="dw", dh="dh", source=self._map, palette="Viridis256")
        self.probe = probe
        self._seen: Any = None

    def update(self, snapshot: dict[str, Any]) -> None:
        """Show a snapshot."""
        value = snapshot["shown"].get(self.probe, {}).get("channel")
        if value is None or self._seen == value["seq"]:
            return
        self._seen = value["seq"]
        for source, name in ((self._received, "received"), (self._equalized, "equalized")):
            points = np.clip(unpack_array(value[name])[:400], -6, 6)
            style.put(source, {"x": points[:, 0], "y": points[:, 1]})
        gain, noise = unpack_array(value["gain"])[:300], unpack_array(value["noise_variance"])[:300]
        columns = {"h": 20 * np.log10(np.maximum(gain, 1e-4)), "n": 10 * np.log10(np.maximum(noise, 1e-6))}
        style.put(self._gain, {"x": np.arange(len(gain), dtype=np.int32)} | columns)
        self.gains.title.text = f"Channel gain |h|²: {value.get('kind')} ({self.probe.removesuffix('.probe')})"
        bits = value["bits"]
        mapped = "bits_map" in value
        self._bars.visible, self._tiles.visible = not mapped, mapped
        if mapped:
            tiles = unpack_array(value["bits_map"])
            style.put(self._map, {"image": [tiles[::-1]], "dw": [tiles.shape[1]], "dh": [tiles.shape[0]]})
            self.bits.title.text = (
                f"Bits over the feature maps: {value.get('scheme')}, mean {tiles.mean():.2f} a feature"
            )
            return
        style.put(self._bits, {"x": list(range(len(bits))), "top": bits})
        mean = sum(bits) / len(bits) if bits else 0.0
        self.bits.title.text = f"Bits a channel of features: {value.get('scheme')}, mean {mean:.2f}"
