"""A link without networks that has all that the page's bar steers: a sweep and two channels of symbols."""

from __future__ import annotations

from monitor_blocks import End, Pictures, Quality, Symbolize

from blocks import FadingChannel, SnrSweep
from blocks.probe import add_probes
from semstream.runtime import Flowgraph


def link() -> Flowgraph:
    """Pictures without end, swept over two SNRs, their first samples sent over two channels."""
    graph = Flowgraph("steered", seed=4)
    sweep, symbols, quality = SnrSweep(name="sweep", snr_db=[1, 4], hold=5), Symbolize(), Quality()
    graph.connect(Pictures(count=-1, every_s=0.01), sweep, quality.reconstruction)
    graph.connect(sweep, quality.reference)
    graph.connect(sweep, symbols)
    for name in ("air", "ether"):
        graph.connect(symbols, FadingChannel(name=name), End(name=f"{name}.end"))
    add_probes(graph)
    return graph
