"""The users of a shared band on the page: who is there, and what each has of it."""

from __future__ import annotations

import html
from typing import Any

NAME = "band"
"""What a scheduler shows its shares as."""
HEAD = ("user", "SNR dB", "channel uses", "of the band", "energy", "bits", "expected PSNR dB")


def band_of(snapshot: dict[str, Any]) -> str:
    """A table for each scheduler of the flowgraph, as HTML; empty where there is none."""
    return "".join(_table(block, values[NAME]) for block, values in sorted(snapshot["shown"].items()) if NAME in values)


def _table(block: str, shown: dict[str, Any]) -> str:
    rows = "".join(_row(shown, i) for i in range(len(shown["users"])))
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    there = sum(uses is not None for uses in shown["uses"])
    words = f"{shown['rule']}: {there} of {len(shown['users'])} users share {shown['band_uses']} channel uses"
    if shown["clipped_frames"]:
        words += f"; asked for more than there is: {shown['clipped_frames']} times"
    return f"<h3>{html.escape(block)}</h3><div class=dim>{html.escape(words)}</div><table><tr>{head}</tr>{rows}</table>"


def _row(shown: dict[str, Any], i: int) -> str:
    uses = shown["uses"][i]
    snr = shown["snr_db"][i]
    cells = [str(shown["users"][i]), f"{snr:g}" if isinstance(snr, (int, float)) else "-"]
    if uses is None:
        cells += ["away", *[""] * 4]
    else:
        energy = shown["energy"][i] / max(shown["band_energy"], 1e-30)
        cells += [f"{uses}{' (clipped)' if shown['clipped'][i] else ''}", f"{uses / max(shown['band_uses'], 1):.0%}"]
        psnr = shown["expected_psnr_db"][i]
        cells += [f"{energy:.0%}", f"{shown['bits'][i]:.0f}", f"{psnr:.1f}" if uses else "no room"]
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
