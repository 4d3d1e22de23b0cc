"""The shipped weights give the PSNRs that they gave when they were shipped."""

from __future__ import annotations

import json

import pytest
from golden_psnr import FOLDER, measure, shipped

from semstream.codec.checkpoint import weights_path


@pytest.mark.parametrize("weights", shipped())
def test_shipped_weights_give_their_golden_psnrs(weights: str) -> None:
    golden = json.loads((FOLDER / "psnr.json").read_text(encoding="utf-8"))
    assert measure(weights) == pytest.approx(golden[weights], abs=0.01)


@pytest.mark.parametrize("weights", shipped())
def test_every_shipped_weights_file_has_a_card(weights: str) -> None:
    card = weights_path(weights).with_suffix(".md").read_text(encoding="utf-8")
    for word in ("seed", "steps", "tools/train.py", "tools/evaluate.py", "AM/GM", "±"):
        assert word in card, f"{weights}.md says nothing of {word}"
