"""What the probes show on the live page: pictures, constellation, channel gains, bits."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np

from semstream.monitor.arrays import unpack_array
from semstream.monitor.page import style

ERROR_GAIN = 4


def branches(snapshot: dict[str, Any]) -> list[str]:
    """Branches of the link, by what shows their pictures, in the order of the flowgraph."""
    return [_branch(name) for name, block in snapshot["blocks"].items() if block["class"] == "PictureProbe"]


def _branch(view: str) -> str:
    return view.removesuffix(".view").removesuffix(".metrics")


def newest_shown(snapshot: dict[str, Any], name: str, index: int = 0) -> tuple[str, dict[str, Any]] | None:
    """The probe that shows `name`, and the value: of branch `index`, as far as there is one for each branch."""
    kind = {"picture": "PictureProbe", "channel": "Probe"}[name]
    probes = [block for block, facts in snapshot["blocks"].items() if facts["class"] == kind]
    block = probes[min(index, len(probes) - 1)] if probes else ""
    shown = snapshot["shown"].get(block, {})
    return (block, shown[name]) if name in shown else None


class PicturesPanel:
    """Sent, received and error picture, as one piece of HTML; drawn at most four times a second."""

    def __init__(self) -> None:
        from bokeh.models.css import InlineStyleSheet
        from bokeh.models.widgets import Div

        self.div = Div(sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=style.TEXT_CSS)])
        self._seen: Any = None

    def update(self, snapshot: dict[str, Any], index: int = 0) -> None:
        """Show a snapshot: the pictures of branch `index`."""
        found = newest_shown(snapshot, "picture", index)
        if found is None:
            why = "nothing yet" if branches(snapshot) else "no picture probe in this flowgraph"
            self.div.text = f"<h2>Pictures</h2><span class=dim>{why}</span>"
            return
        block, value = found
        if self._seen == (snapshot["run_id"], block, value["seq"]):
            return
        self._seen = snapshot["run_id"], block, value["seq"]
        sent, received = unpack_array(value["sent"]), unpack_array(value["received"])
        error = np.minimum(np.abs(sent.astype(np.int16) - received) * ERROR_GAIN, 255).astype(np.uint8)
        snr = value.get("snr_db")
        where = f"frame {value['seq']}, SNR {snr:g} dB" if isinstance(snr, (int, float)) else f"frame {value['seq']}"
        cells = "".join(
            f"<div><img alt='{name}' src='{data_url(picture)}'><span class=dim>{name}</span></div>"
            for name, picture in (("sent", sent), ("received", received), (f"error × {ERROR_GAIN}", error))
        )
        branch = html.escape(_branch(block))
        self.div.text = f"<h2>Pictures: {branch}, {where}</h2><div class=pictures>{cells}</div>"


def data_url(picture: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a data: address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class ChannelPlots:
    """Constellation, |h| over symbols, and bits a channel of features."""

    def __init__(self) -> None:
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
        self._seen: Any = None

    def update(self, snapshot: dict[str, Any], index: int = 0) -> None:
        """Show a snapshot: the channel of branch `index`."""
        found = newest_shown(snapshot, "channel", index)
        if found is None or self._seen == (snapshot["run_id"], found[0], found[1]["seq"]):
            return
        block, value = found
        self._seen = snapshot["run_id"], block, value["seq"]
        for source, name in ((self._received, "received"), (self._equalized, "equalized")):
            points = np.clip(unpack_array(value[name])[:400], -6, 6)
            source.data = {"x": points[:, 0], "y": points[:, 1]}
        gain, noise = unpack_array(value["gain"])[:300], unpack_array(value["noise_variance"])[:300]
        self._gain.data = {
            "x": np.arange(len(gain)),
            "h": 20 * np.log10(np.maximum(gain, 1e-4)),
            "n": 10 * np.log10(np.maximum(noise, 1e-6)),
        }
        self.gains.title.text = f"Channel gain |h|²: {value.get('kind')} ({block.removesuffix('.probe')})"
        bits = value["bits"]
        mapped = "bits_map" in value
        self._bars.visible, self._tiles.visible = not mapped, mapped
        if mapped:
            tiles = unpack_array(value["bits_map"])
            self._map.data = {"image": [tiles[::-1]], "dw": [tiles.shape[1]], "dh": [tiles.shape[0]]}
            self.bits.title.text = (
                f"Bits over the feature maps: {value.get('scheme')}, mean {tiles.mean():.2f} a feature"
            )
            return
        self._bits.data = {"x": list(range(len(bits))), "top": bits}
        mean = sum(bits) / len(bits) if bits else 0.0
        self.bits.title.text = f"Bits a channel of features: {value.get('scheme')}, mean {mean:.2f}"
