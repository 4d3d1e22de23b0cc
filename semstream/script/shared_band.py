"""Several users on one band as a command: who is away when, and what each rule of division gains."""

from __future__ import annotations

import re

import numpy as np
import typer

from semstream.runtime import Run
from semstream.sharing import RULES


def absences(text: str, users: int) -> dict[int, list[int]]:
    """Frames at which each user leaves and joins, of ``2:30-60,4:0-50``."""
    toggles: dict[int, list[int]] = {u: [] for u in range(1, users + 1)}
    for part in text.replace(",", " ").split():
        found = re.fullmatch(r"(\d+):(\d+)-(\d+)", part)
        if not found or int(found[1]) not in toggles or int(found[2]) >= int(found[3]):
            raise typer.BadParameter(f"--away: expected USER:FRAME-FRAME of users 1 to {users}, got {part!r}")
        toggles[int(found[1])] += [int(found[2]), int(found[3])]
    return toggles


def gains(run: Run) -> list[str]:
    """What each rule gives, and what it gains over equal division."""
    lines, quality = [], {}
    for rule in (name for name in RULES if name in run.records):
        rows = [r for name, records in run.records.items() if name.endswith(f"-{rule}.metrics") for r in records]
        by_frame: dict[int, list[float]] = {}
        for row in rows:
            by_frame.setdefault(row["seq"], []).append(row["psnr_db"])
        means = [np.mean([np.mean(v) for v in by_frame.values()]), np.mean([min(v) for v in by_frame.values()])]
        quality[rule] = [float(value) for value in means]
        uses, energy = sum(r["channel_uses"] for r in rows), sum(e or 0 for r in run.records[rule] for e in r["energy"])
        clipped = sum(bool(c) for r in run.records[rule] for c in r["clipped"])
        lines.append(
            f"{rule}: mean {quality[rule][0]:.2f} dB, worst user of a frame {quality[rule][1]:.2f} dB; "
            f"{uses} channel uses, energy {energy:.0f}" + (f"; {clipped} requests clipped" if clipped else "")
        )
    for rule in [rule for rule in quality if rule != "equal" and "equal" in quality]:
        mean, worst = (mine - equal for mine, equal in zip(quality[rule], quality["equal"], strict=True))
        lines.append(f"{rule} gains over equal division: mean {mean:+.2f} dB, worst user {worst:+.2f} dB")
    return lines
