"""A link with something to show in every panel of the dashboard; in a module that the service finds."""

from __future__ import annotations

from monitor_blocks import Noise, Quality

from semstream.runtime import Frame


class Leaky(Noise):
    """Leaves out every third picture."""

    def process(self, frame: Frame) -> Frame:
        if frame.seq % 3 == 2:
            self.skip("third")
        return super().process(frame)


class Measured(Quality):
    """Its records have LPIPS as well."""

    def publish(self, record: dict[str, object]) -> None:
        super().publish(record | {"lpips": 0.1})
