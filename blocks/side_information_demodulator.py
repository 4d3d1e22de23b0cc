"""SideInformationDemodulator: reads the header before amplitudes, for whoever reads the amplitudes."""

from __future__ import annotations

import numpy as np

from blocks._errors import told_by
from blocks._qam import open_link
from blocks.ports import ReceivedSymbols
from semstream.codec.amplitude_header import AmplitudeHeader, Read
from semstream.codec.side_information import SideInformationError
from semstream.phy.channel import Reception
from semstream.phy.errors import PhyError
from semstream.runtime import Block, Frame, In, Out, SkipFrame, setting


class SideInformationDemodulator(Block):
    """Read what `SideInformationModulator` has put before the amplitudes of a frame.

    A frame whose header is lost is concealed: the last good frame is given again, with its side information, so that
    its picture is shown again; before any, it is skipped, counted as ``header``.

    Input
    -----
    received : ReceivedSymbols, header first; none of their tags is needed.

    Output
    ------
    received : ReceivedSymbols, the amplitudes, with side information, ``power_gain`` and ``concealed``.

    Records
    -------
    One at the end: frames, headers_lost.

    Usage
    -----
    ``SideInformationDemodulator()`` before `Dequantizer`; ``header_rate`` as at the sender.
    """

    received = In(ReceivedSymbols)
    out = Out(ReceivedSymbols)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        header_rate: float = setting(1 / 3, ge=0.2, le=0.75, description="code rate of the header")

    def start(self) -> None:
        with told_by(self, "header_rate"):
            self._header = AmplitudeHeader(open_link(self, self.settings.weights), self.settings.header_rate)
        self._last: Read | None = None
        self._counts = {"frames": 0, "headers_lost": 0}

    def process(self, frame: Frame) -> Frame:
        self._counts["frames"] += 1
        concealed = False
        try:
            read: Read | None = self._header.read(Reception(frame["received"], frame["csi"], frame["noise_variance"]))
            number = frame.tags.get("number", frame.seq)
            if read is not None and isinstance(number, int) and read.seq != number % 2**16:
                raise SideInformationError(f"the header says number {read.seq}")
            self._last = read
        except (PhyError, SideInformationError) as error:
            self.log.debug("frame %d: %s", frame.seq, error)
            self._counts["headers_lost"] += 1
            read, concealed = self._last, True
        if read is None:
            raise SkipFrame("header")
        arrays: dict[str, np.ndarray] = read.reception._asdict()
        if read.class_map is not None:
            arrays["class_map"] = read.class_map
        return Frame(arrays, tags={**read.side.to_tags(), "power_gain": read.gain, "concealed": concealed})

    def stop(self) -> None:
        if hasattr(self, "_counts"):
            self.publish(dict(self._counts))
