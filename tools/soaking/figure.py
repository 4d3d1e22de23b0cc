"""Figure of a soak: memory, descriptors, threads over time, with the fitted lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semstream.metrics.figures import COLOURS, STYLE, new_figure, save_figure
from tools.soaking.processes import Sample
from tools.soaking.trend import SECONDS, Verdict

PANELS = (
    ("memory of all processes (MiB)", (("pss_mib", "PSS"), ("owner_mib", "PSS of the owner"))),
    ("descriptors and threads", (("descriptors", "descriptors"), ("threads", "threads"))),
    ("processes, segments, files", (("processes", "processes"), ("segments", "segments"), ("entries", "files"))),
)


def draw(samples: Sequence[Sample], settled_s: float, verdicts: Sequence[Verdict], path: Path, title: str) -> None:
    """Write the figure; what came before `settled_s` is shown grey and was not judged."""
    import matplotlib

    lines = {verdict.what: verdict.trend for verdict in verdicts}
    figure = new_figure(10.5, 3.6)
    with matplotlib.rc_context(STYLE):
        minutes = [s.at_s / 60 for s in samples]
        for (heading, series), axes in zip(PANELS, figure.subplots(1, len(PANELS)), strict=True):
            axes.axvspan(0, settled_s / 60, color="#EEEEEE", zorder=0)
            for (name, label), colour in zip(series, COLOURS, strict=False):
                axes.plot(minutes, [getattr(s, name) for s in samples], color=colour, label=label, linewidth=1.0)
                trend = lines.get(name)
                if trend is not None and name.endswith("_mib"):
                    ends = [settled_s, samples[-1].at_s]
                    middle = sum(ends) / 2
                    fitted = [trend.mean + trend.slope * (at - middle) / SECONDS for at in ends]
                    axes.plot([at / 60 for at in ends], fitted, color="black", linestyle="--", linewidth=1.0)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("minutes")
            axes.set_title(heading)
            axes.legend(loc="center right")
        figure.suptitle(title, fontsize=10)
        save_figure(figure, path)
