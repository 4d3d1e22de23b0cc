"""BandGrant: a user's frame keeps to the share of the band that it was given."""

from __future__ import annotations

from blocks._errors import told_by
from blocks.band_scheduler import USERS, granted
from blocks.ports import ClassifiedFeatures, Grants
from semstream.runtime import Block, Frame, In, Out, setting


class BandGrant(Block):
    """Tag a user's frame with its budget of the shared band; one without a share is left out, counted as ``no_share``.

    Input
    -----
    grants : Grants of the `BandScheduler`. classified : ClassifiedFeatures.

    Output
    ------
    granted : ClassifiedFeatures, with the tags ``channel_bits``, which `NonUniformQuantizer` keeps to, and
    ``frame_energy``, which `PowerNormalizer` spends. The widths follow from the grant and from the profile that both
    ends hold: they are no side information.
    """

    grants = In(Grants)  # first: where both frames have a tag, the features' counts
    classified = In(ClassifiedFeatures)
    granted = Out(ClassifiedFeatures)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        user: int = setting(ge=1, le=USERS, description="number of the user's port at the scheduler")

    def start(self) -> None:
        from semstream.codec.checkpoint import load_profile
        from semstream.sharing.curve import WidthTable

        with told_by(self, "weights"):
            self._table = WidthTable(load_profile(self.settings.weights)[0])

    def process(self, grants: Frame, classified: Frame) -> Frame:
        given = granted(grants, self.settings.user)
        height, width, channels = classified["features"].shape
        if given is None or given["channels"] > channels or channels != len(self._table.order):
            self.skip("no_share")
        assert given is not None
        widths = self._table.widths(given["channels"], given["bits"] / (given["channels"] * height * width))
        return classified.replace(tags={"channel_bits": widths.tobytes(), "frame_energy": given["energy"]})
