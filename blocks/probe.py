"""Probe and PictureProbe: what a monitor shows of a link, a few times a second, over edges that never hold it up."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from blocks.ports import Image, ReceivedSymbols
from semstream.monitor.arrays import pack_array, shrink
from semstream.phy.equalizer import mmse
from semstream.runtime import Block, Flowgraph, Frame, In, live

POINTS = 1000


class _Paced(Block):
    """Shows at most `rate` values a second."""

    class Settings(Block.Settings):
        rate: float = live(10.0, gt=0, le=60, unit="1/s", description="most that is shown a second")

    def start(self) -> None:
        self._shown_at = 0.0

    def due(self) -> bool:
        """Whether enough time has passed since the last one."""
        now = time.monotonic()
        if now - self._shown_at < 1 / self.settings.rate:
            return False
        self._shown_at = now
        return True


class Probe(_Paced):
    """Show what a channel does: the constellation, its gains, and the bits of the frame at hand.

    Input
    -----
    received : ReceivedSymbols, best over an edge of policy ``latest``.

    Shows
    -----
    ``channel``: seq, snr_db, kind, ``received`` and ``equalized`` (at most 1000 complex points as (N, 2) float32),
    ``gain`` |h| and ``noise_variance`` (N,) of its first symbols, ``bits`` of its channels (or classes), scheme;
    ``bits_map`` (h, w), mean bits a site, where each feature has a class of its own.
    """

    received = In(ReceivedSymbols)

    class Settings(_Paced.Settings):
        pass

    def process(self, frame: Frame) -> None:
        if not self.due():
            return
        first = slice(0, POINTS)
        equalized = mmse(frame["received"][first], frame["csi"][first], frame["noise_variance"][first])
        tags = frame.tags
        value: dict[str, Any] = {
            "seq": frame.seq,
            "snr_db": tags.get("snr_db"),
            "kind": tags.get("channel"),
            "received": pack_array(_pairs(frame["received"][first])),
            "equalized": pack_array(_pairs(equalized.unbiased)),
            "gain": pack_array(np.abs(frame["csi"][first]).astype(np.float32)),
            "noise_variance": pack_array(frame["noise_variance"][first]),
            "scheme": tags.get("scheme"),
            "bits": list(tags.get("bits") or ()),
        }
        if "class_map" in frame:
            value["bits_map"] = pack_array(_bits_map(frame))
        self.show("channel", value)


class PictureProbe(_Paced):
    """Show the newest sent and received picture. Probes of several branches show the same frames.

    Input
    -----
    reference, reconstruction : Image, joined by frame number; best over edges of policy ``latest``.

    Shows
    -----
    ``picture``: seq, snr_db, ``sent`` and ``received``, uint8 (H, W, 3) reduced to at most 256 pixels a side.
    """

    reference = In(Image)
    reconstruction = In(Image)

    class Settings(_Paced.Settings):
        rate: float = live(4.0, gt=0, le=60, unit="1/s", description="most that is shown a second")
        side: int = live(256, ge=16, le=1024, unit="pixels", description="most that a shown picture measures")

    def start(self) -> None:
        super().start()
        self._every = 1

    def due_frame(self, seq: int) -> bool:
        """Whether it is the turn of this frame: every 2ⁿ-th is shown, so that probes side by side agree."""
        if seq % self._every:
            return False
        past = (time.monotonic() - self._shown_at) * self.settings.rate
        if past < 1:
            self._every *= 2
            return False
        if past > 4 and self._every > 1:
            self._every //= 2
        self._shown_at = time.monotonic()
        return True

    def process(self, reference: Frame, reconstruction: Frame) -> None:
        if reference["image"].shape != reconstruction["image"].shape or not self.due_frame(reference.seq):
            return
        side = self.settings.side
        value = {"seq": reference.seq, "snr_db": reconstruction.tags.get("snr_db")}
        pictures = {
            "sent": pack_array(shrink(reference["image"], side)),
            "received": pack_array(shrink(reconstruction["image"], side)),
        }
        self.show("picture", value | pictures)


def _bits_map(frame: Frame) -> np.ndarray:
    """(h, w) mean bits of the features at each site, from the packed map of classes."""
    from semstream.quantize.packing import PackingError, unpack_class_map

    shape, bits = frame.tags.get("shape"), list(frame.tags.get("bits") or ())
    if not (isinstance(shape, list) and len(shape) == 3 and bits):
        return np.zeros((1, 1), np.float32)
    try:
        classes = unpack_class_map(frame["class_map"], int(np.prod(shape)), len(bits))
    except PackingError:
        return np.zeros((1, 1), np.float32)
    return np.array(bits, np.float32)[classes].reshape(shape).mean(axis=2)


def _pairs(points: np.ndarray) -> np.ndarray:
    return np.stack((points.real, points.imag), axis=1).astype(np.float32)


def add_probes(graph: Flowgraph) -> list[Block]:
    """Put probes on a wired flowgraph, for a monitor: one behind each channel, one beside each comparison of pictures.

    Returns
    -------
    The probes that were added, over edges of policy ``latest``, which never hold up the link.
    """
    added: list[Block] = []
    for block in list(graph.blocks.values()):
        if isinstance(block, _Paced):
            continue
        for name, port in block.outputs.items():
            if port.type is ReceivedSymbols:
                probe = Probe(name=f"{block.name}.probe")
                graph.connect(block.port(name), probe, policy="latest", credit=1)
                added.append(probe)
        pictures = [name for name, port in block.inputs.items() if port.type is Image]
        if sorted(pictures) == ["reconstruction", "reference"]:
            senders = {e.receiver.name: e.sender for e in graph.edges if e.receiver and e.receiver.block is block}
            if all(senders.get(name) is not None for name in pictures):
                view = PictureProbe(name=f"{block.name}.view")
                for name in pictures:
                    sender = senders[name]
                    assert sender is not None
                    graph.connect(sender, view.port(name), policy="latest", credit=1)
                added.append(view)
    return added
