"""Measure cases on pictures, one after another, going on from what the results hold already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from semstream.progress import Progress
from tools.evaluation.baselines import PictureCodec, linear_simulator
from tools.evaluation.case import BASELINES, Case, CaseError
from tools.evaluation.pictures import Pictures
from tools.evaluation.simulate import Simulator
from tools.evaluation.table import Results, Row, describe, summary


class Evaluation:
    """Cases of one set of weights on one set of pictures.

    Parameters
    ----------
    simulator
        The link.
    pictures
        What is sent.
    results
        Where rows go.
    """

    def __init__(self, simulator: Simulator, pictures: Pictures, results: Results) -> None:
        self.simulator, self.pictures, self.results = simulator, pictures, results
        self._baselines: dict[str, Any] = {}

    def measure(self, cases: Sequence[Case], quiet: bool = False) -> list[Row]:
        """A row a case, in order; those that the results hold are not measured again.

        Ctrl-C passes through between two batches; what was measured whole is on disk by then.
        """
        described = [self.describe(case) for case in cases]
        missing = [case for case, row in zip(cases, described, strict=True) if self.results.find(row) is None]
        total = len(missing) * len(self.pictures)
        with Progress("pictures", total, quiet=quiet or not missing) as progress:
            for case in missing:
                progress.advance(0, f"{case.channel} {case.snr_db:g} dB, {case.label}")
                self._measure(case, progress)
        return [row for row in map(self.results.find, described) if row is not None]

    def describe(self, case: Case) -> Row:
        """The columns that say which case a row is of."""
        weights = "" if case.scheme in ("jpeg", "webp", "avif") else self.simulator.name
        return describe(case, self.pictures.name, len(self.pictures), weights, self.simulator.seed)

    def _measure(self, case: Case, progress: Progress) -> None:
        row, outcomes, note = self.describe(case), [], ""
        link: Any = self._baseline(case.scheme) if case.scheme in BASELINES else self.simulator
        sent = Case(case.channel, case.snr_db, "none") if case.scheme == "linear" else case
        unfit = getattr(link, "unfit", 0)
        before = self.simulator.headers_lost
        try:
            for batch in self.pictures.batches:
                outcomes += link.simulate(batch, sent)
                progress.advance(len(batch.pictures))
        except CaseError as error:
            self.results.add(row | {"note": f"not possible: {error}"})
            progress.advance(len(self.pictures) - len(outcomes))
            return
        if getattr(link, "unfit", 0) > unfit:
            note = f"{link.unfit - unfit} of {len(outcomes)} pictures fit at no quality: sent as their mean colour"
        if case.modulation.startswith("qam") and (lost := self.simulator.headers_lost - before):
            note = f"header of {lost} of {len(outcomes)} frames lost: sent as unknown (grey)"
        ours = case.scheme not in BASELINES
        row |= {"am_gm_db": self.simulator.profile.am_gm_db if ours else None, "note": note}
        self.results.add(row | summary(outcomes))

    def _baseline(self, name: str) -> Any:
        if name not in self._baselines:
            config = self.simulator.codec.config
            self._baselines[name] = (
                linear_simulator(self.simulator)
                if name == "linear"
                else PictureCodec(name, config.channels, config.stride, self.simulator.lpips)
            )
        return self._baselines[name]
