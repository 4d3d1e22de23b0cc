"""What a probe shows of a channel on the live page: constellation, gains, bits; and the flowgraph drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from semstream.monitor.arrays import unpack_array
from semstream.monitor.layered import positions
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


class FlowPlot:
    """The flowgraph as a drawing: rates, work and age on blocks; frames that wait and drops on edges."""

    def __init__(self) -> None:
        from bokeh.models.sources import ColumnDataSource

        self.plot = style.figure("Flowgraph", 880, height=340)
        self.plot.axis.visible = False
        self.plot.grid.visible = False
        self._edges = ColumnDataSource({"xs": [], "ys": [], "colour": [], "width": []})
        self._labels = ColumnDataSource({"x": [], "y": [], "text": [], "colour": []})
        self._blocks = ColumnDataSource({"x": [], "y": [], "name": [], "text": [], "colour": []})
        self.plot.multi_line("xs", "ys", source=self._edges, color="colour", line_width="width")
        self.plot.rect("x", "y", width=0.88, height=0.74, source=self._blocks, fill_color=style.GROUND,
                       line_color="colour", line_width=1.5)  # fmt: skip
        common = {"source": self._blocks, "text_align": "center"}
        self.plot.text("x", "y", text="name", y_offset=-4, text_font_size="10px", text_color=style.TEXT, **common)
        self.plot.text("x", "y", text="text", y_offset=12, text_font_size="9px", text_color=style.DIM, **common)
        self.plot.text("x", "y", text="text", source=self._labels, text_color="colour", text_font_size="9px",
                       text_align="center")  # fmt: skip
        self._shape: Any = None
        self._at: dict[str, tuple[float, float]] = {}

    def update(self, snapshot: dict[str, Any]) -> None:
        """Show a snapshot."""
        blocks = {name: block for name, block in snapshot["blocks"].items() if not is_probe(block)}
        edges = [edge for edge in snapshot["edges"] if {edge["from"], edge["to"]} <= blocks.keys() | {""}]
        shape = tuple(blocks), tuple((edge["from"], edge["to"]) for edge in edges)
        if shape != self._shape:
            self._shape, self._at = shape, positions(*shape)
            height = max((y for _, y in self._at.values()), default=0) - min(
                (y for _, y in self._at.values()), default=0
            )
            self.plot.height = int(110 + 74 * height)
        at, busiest = self._at, max((_ms(b, "work", "mean") for b in blocks.values()), default=0.0)
        names, texts, colours = [], [], []
        for name, block in blocks.items():
            counters = block["counters"]
            lost = sum(counters["skips"].values()) + sum(counters["bad"].values())
            names.append(_short(name))
            texts.append(
                f"{block['rate']:.1f}/s  {_ms(block, 'work', 'p50'):.1f} ms  age {_ms(block, 'age', 'p50'):.0f}"
            )
            slow = busiest > 0 and _ms(block, "work", "mean") == busiest
            colours.append(style.BAD if lost else style.WARN if slow else style.BRANCHES[0])
        self._blocks.data = {
            "x": [at[name][0] for name in blocks],
            "y": [at[name][1] for name in blocks],
            "name": names,
            "text": texts,
            "colour": colours,
        }
        drawn = [edge for edge in edges if edge["from"] in at and edge["to"] in at]
        ways = [((at[e["from"]][0] + 0.44, at[e["from"]][1]), (at[e["to"]][0] - 0.44, at[e["to"]][1])) for e in drawn]
        drops = [sum(edge["drops"].values()) for edge in drawn]
        self._edges.data = {
            "xs": [[a[0], b[0]] for a, b in ways],
            "ys": [[a[1], b[1]] for a, b in ways],
            "colour": [
                style.WARN if n and e["policy"] == "block" else style.LINE for n, e in zip(drops, drawn, strict=True)
            ],
            "width": [1.0 if e["policy"] == "latest" else 2.0 for e in drawn],
        }
        queues = [_queue(blocks, edge) for edge in drawn]
        said = [
            (way, " ".join(filter(None, (f"q {q}" if q else "", f"−{n}" if n else "")))) for way, q, n in
            zip(ways, queues, drops, strict=True)
        ]  # fmt: skip
        said = [(way, text) for way, text in said if text]
        self._labels.data = {
            "x": [(a[0] + b[0]) / 2 for (a, b), _ in said],
            "y": [(a[1] + b[1]) / 2 for (a, b), _ in said],
            "text": [text for _, text in said],
            "colour": [style.WARN] * len(said),
        }


def is_probe(block: dict[str, Any]) -> bool:
    """Whether a block only shows things: it is left out of the drawing."""
    return block["class"] in ("Probe", "PictureProbe")


def _queue(blocks: dict[str, Any], edge: dict[str, Any]) -> int:
    waiting = blocks[edge["from"]]["counters"]["queue"]
    return int(waiting.get(edge["name"], 0))


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:10] + "…" + name[-11:]


def _ms(block: dict[str, Any], what: str, percentile: str) -> float:
    value = float(block["counters"][what][percentile])
    return value if math.isfinite(value) else 0.0
