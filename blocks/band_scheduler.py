"""BandScheduler: one band for several users, divided anew for every frame."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np

from blocks._errors import told_by
from blocks.ports import Grants, Report
from semstream.runtime import Block, Frame, In, Out, live, setting
from semstream.sharing import Band, QualityCurve, ReportError, Share, share
from semstream.sharing import report as reports

USERS = 16
SHOWN_EVERY_S = 0.2

_Ports = type("_Ports", (Block,), {f"user_{u}": In(Report, buffer=1, optional=True) for u in range(1, USERS + 1)})
_Ports.__doc__ = "An input a user."


class BandScheduler(_Ports):  # type: ignore[misc, valid-type]
    """Divide channel uses, energy and bits of one band among its users (the paper's future work).

    From the reports come the quality that each user's frame can expect by what it gets, and from these the division:
    ``equal``; ``max_min``, the best for the user who has it worst; ``proportional``, everybody gains over equal
    division, in proportion; ``max_sum``, the best mean PSNR. All give away the same channel uses and the same energy
    (`semstream.sharing.rules`).

    Input
    -----
    user_1 … user_16 : Report of each user's `BandReport`; as many as there are users are connected. A report that
    cannot be true is taken as that of a user who is away.

    Output
    ------
    grants : Grants, for the `BandGrant` of each user.

    Records
    -------
    One a frame: rule, band_uses, band_energy, and of each user ``uses``, ``energy``, ``bits``, ``clipped`` (channel
    uses that it asked for in vain) and ``expected_psnr_db``, None for who is away.

    Usage
    -----
    Each user gets one channel of features before anybody gets more; then the ``least_uses`` that users ask for are
    granted as far as the band goes, levelled where they are more together. Who asks for more than there is gets what
    there is: the log says so once, and the records count it. Where the band has no room for one channel of everybody,
    they take turns.
    """

    grants = Out(Grants)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the users' encoders use")
        rule: Literal["equal", "max_min", "proportional", "max_sum"] = live(
            "max_min", description="how the band is divided"
        )
        uses: list[int] = live(
            [10_000],
            min_length=1,
            unit="channel uses",
            description="size of the band for a frame of all users, in turn",
        )
        hold: int = live(10, ge=1, unit="frames", description="frames at each size of the band")
        power: float = live(1.0, gt=0, le=1e6, description="mean power of a channel use of the band")
        bits: float = live(
            0.0, ge=0, unit="bits/channel use", description="payload bits of all users, by the band; 0: no limit"
        )

    def start(self) -> None:
        from semstream.codec.checkpoint import load_profile
        from semstream.sharing.curve import WidthTable

        with told_by(self, "weights"):
            self._table = WidthTable(load_profile(self.settings.weights)[0])
        self._there: frozenset[int] = frozenset()
        self._said: dict[int, int] = {}
        self._clipped = 0
        self._shown_at = 0.0

    def process(self, **frames: Frame) -> Frame:
        s = self.settings
        seq = next(iter(frames.values())).seq
        users = {int(port.removeprefix("user_")): frame for port, frame in frames.items()}
        curves = {u: curve for u, frame in users.items() if (curve := self._curve(u, frame)) is not None}
        self._note_presence(frozenset(curves))
        uses = max(0, s.uses[seq // s.hold % len(s.uses)])
        band = Band(uses, s.power, int(s.bits * uses))
        shares = dict(zip(curves, share(list(curves.values()), band, s.rule, seq), strict=True))
        grants = np.zeros((max(users), 4))
        for u, given in shares.items():
            grants[u - 1] = given.channels, given.uses, given.energy, given.bits
            self._note_clipped(u, given, curves[u])
        record = {"seq": seq, "rule": s.rule, "band_uses": uses, "band_energy": band.energy, "users": sorted(users)}
        for name in ("uses", "energy", "bits", "clipped", "psnr_db"):
            values = [getattr(shares[u], name) if u in shares else None for u in sorted(users)]
            record["expected_psnr_db" if name == "psnr_db" else name] = values
        self.publish(record)
        if time.monotonic() - self._shown_at > SHOWN_EVERY_S:
            self._shown_at = time.monotonic()
            self.show("band", record | {"snr_db": [users[u].tags.get("report_snr_db") for u in sorted(users)],
                                        "clipped_frames": self._clipped})  # fmt: skip
        return Frame({"grants": grants})

    def _curve(self, user: int, frame: Frame) -> QualityCurve | None:
        """What a user can expect; None for who is away."""
        if frame.tags.get("present") is False:
            return None
        try:
            report = reports.Report.from_frame(frame.arrays, frame.tags, len(self._table.order))
        except ReportError as error:
            self.log.warning("frame %d, user %d: %s; taken as away", frame.seq, user, error)
            return None
        return QualityCurve(self._table, report)

    def _note_presence(self, there: frozenset[int]) -> None:
        for u in sorted(there - self._there):
            self.log.info("user %d has joined", u)
        for u in sorted(self._there - there):
            self.log.info("user %d has left", u)
        self._there = there

    def _note_clipped(self, user: int, given: Share, curve: QualityCurve) -> None:
        asked = curve.report.least
        if not given.clipped:
            self._said.pop(user, None)
            return
        self._clipped += 1
        if self._said.get(user) != asked:
            self._said[user] = asked
            self.log.warning(
                "block %r: user %d asks for %d channel uses a frame, and there are %d for it; clipped. Ask for less, "
                "or widen the band (setting 'uses')", self.name, user, asked, asked - given.clipped,
            )  # fmt: skip


def granted(frame: Frame, user: int) -> dict[str, Any] | None:
    """What a frame of Grants says to a user; None if it is not of this many users or grants nothing."""
    grants = frame["grants"]
    if not 1 <= user <= len(grants) or not np.isfinite(grants[user - 1]).all():
        return None
    channels, uses, energy, bits = grants[user - 1].tolist()
    if not (channels >= 1 and uses >= 1 and energy > 0 and bits > 0):
        return None
    return {"channels": int(channels), "uses": int(uses), "energy": energy, "bits": bits}
