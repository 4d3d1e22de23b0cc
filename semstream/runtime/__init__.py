"""Streaming runtime: blocks with typed ports, joined by credit-based edges, in threads, processes or on a Ray cluster.

::

    owner   Flowgraph --plan--> Engine (threads | processes | ray)      Run: records, counters, set(), stop()
                                   |  starts                             ^
                                   v                                     |  Conductor: one control line a node
              +------ Node ------+                     +------ Node -----+---+
              |                  |   credit 2          |                     |
              |  Block.frames()  | <------------------ |  reorder  join      |
              |        |         |                     |     |     |         |
              |      Sender ROUTER ======= data =====> DEALER Link -> Block.process() -> Sender ...
              |                  |   gaps, EOS         |                     |
              +------------------+                     +---------------------+
                    inproc (threads) | ipc (processes) | tcp (ray, listen / dial): the wire form is the same

- A frame leaves only when the receiver has granted credit, so a slow block makes its senders wait (`block`) or drop
  (`drop_oldest`, `latest`), and frames stay young.
- Between hosts messages are numbered: a connection that is lost comes back and goes on where it was, and the credit is
  by what the way needs (`edges/remote_link.py`, `edges/way.py`). `Flowgraph.only` makes a host's part of a graph.
- What is skipped or dropped goes on as a *gap*, so that no join and no reordering waits for it.
- The end of the stream, and failure, travel in-band behind the last frame; the owner stops the rest.
- Where edges are durable, the owner starts what has died again, and no frame is lost or doubled
  (`semstream.runtime.durable`).

A first flowgraph::

    from semstream.runtime import ArraySpec, Block, Flowgraph, Frame, In, Out, PortType, live

    Image = PortType("Image", {"image": ArraySpec("uint8", ("H", "W", 3))})

    class Brighten(Block):
        image = In(Image)
        out = Out(Image)

        class Settings(Block.Settings):
            step: int = live(10, ge=0, le=255, description="added to every sample")

        def process(self, frame):
            return frame.replace({"image": frame["image"] + np.uint8(self.settings.step)})

    fg = Flowgraph("demo", seed=1)
    fg.connect(Camera(), Brighten(step=20), Display())
    run = fg.run(engine="processes")
    print(run.summary())
"""

from semstream.runtime.block.block import Block, BoundPort, In, Out
from semstream.runtime.block.settings import live, setting
from semstream.runtime.engines.cluster.options import RayCluster
from semstream.runtime.errors import (
    BlockError,
    FlowgraphError,
    FlowgraphFileError,
    PortError,
    SemstreamError,
    SettingsError,
    SkipFrame,
    WireError,
)
from semstream.runtime.flowgraph import Flowgraph
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.types import ANY, ArraySpec, PortType
from semstream.runtime.graph.endpoints import CurveKeys
from semstream.runtime.run import Run

__all__ = [
    "ANY",
    "ArraySpec",
    "Block",
    "BlockError",
    "BoundPort",
    "CurveKeys",
    "Flowgraph",
    "FlowgraphError",
    "FlowgraphFileError",
    "Frame",
    "In",
    "Out",
    "PortError",
    "PortType",
    "RayCluster",
    "Run",
    "SemstreamError",
    "SettingsError",
    "SkipFrame",
    "WireError",
    "live",
    "setting",
]
